// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/packed_tensor.h"

#include <utility>
#include <vector>

#include "base/codes/coded_view.h"
#include "base/error.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

using decode::ScaleKind;

/// `codes` holds what the view looks at.
CodedView view_of(const ParsedTensor& tensor, std::vector<std::vector<std::uint64_t>>& codes) {
    const CodedTensor& coded = tensor.coded;
    CodedView view;
    view.name = tensor.name;
    view.rows = coded.rows();
    view.cols = tensor.shape.cols;
    view.along_outputs = coded.along() == Along::outputs;
    view.group_scales = coded.layout().scope == ScaleLayout::Scope::group;
    for (const Segment& s : coded.segments()) codes.push_back(s.codes.unpacked());
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const Segment& s = coded.segments()[i];
        view.segments.push_back({s.code, s.cols, s.shared, codes[i]});
    }
    return view;
}

PackedSegments pack(const ParsedTensor& tensor) {
    std::vector<std::vector<std::uint64_t>> codes;
    const CodedView view = view_of(tensor, codes);
    for (const CodeFamily* family : code_families()) {
        if (family->pack == nullptr) continue;
        if (auto packed = family->pack(view)) return *std::move(packed);
    }
    throw Error("packed files have no such code", tensor.name, "export --to safetensors");
}

/// Scales of the padded rows; those that are added have no say in any row that is read.
void set_scales(const CodedTensor& coded, PackedTensor& t) {
    const Matrix& scales = coded.scales();
    t.scales.assign(scales.data(), scales.data() + scales.size());
    switch (coded.layout().scope) {
        case ScaleLayout::Scope::tensor: t.scale_kind = ScaleKind::tensor; return;
        case ScaleLayout::Scope::row: t.scale_kind = ScaleKind::row; break;
        case ScaleLayout::Scope::group:
            t.scale_kind = ScaleKind::group;
            t.scale_group = coded.layout().group;
            break;
    }
    t.scales.resize(static_cast<std::size_t>(t.padded_rows * scales.cols()), 0.0F);
}

void set_transform(const ParsedTensor& tensor, PackedTensor& t) {
    int last = -1;
    for (const TransformStep& step : tensor.transform.steps()) {
        const int kind = static_cast<int>(step.kind);
        if (kind <= last)
            throw Error("the steps of the transform are in an order that packed files lack",
                        tensor.name, "quantize with one of the presets");
        last = kind;
        switch (step.kind) {
            case TransformStep::Kind::column_scale:
                t.column_scale.assign(step.scale.begin(), step.scale.end());
                break;
            case TransformStep::Kind::permutation: t.permutation = step.order; break;
            case TransformStep::Kind::hadamard_in:
                t.rotated_in = true;
                t.seed_in = step.seed;
                break;
            case TransformStep::Kind::hadamard_out:
                t.rotated_out = true;
                t.seed_out = step.seed;
                break;
        }
    }
}

}  // namespace

PackedTensor packed_tensor(const ParsedTensor& tensor) {
    if (!tensor.side.empty())
        throw Error("the packed format has no low-rank or sparse terms", tensor.name,
                    "export --to safetensors, or quantize without side.rank and side.sparse");
    PackedSegments packed = pack(tensor);
    PackedTensor t;
    t.name = tensor.name;
    t.rows = tensor.shape.rows;
    t.cols = tensor.shape.cols;
    t.padded_rows = packed.padded_rows;
    for (const PackedSegment& s : packed.segments)
        t.padded_cols += static_cast<Index>(s.record.cols);
    set_scales(tensor.coded, t);
    set_transform(tensor, t);
    t.segments = std::move(packed.segments);
    return t;
}

}  // namespace vq
