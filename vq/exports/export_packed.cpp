// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/export_packed.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/codes/coded_view.h"
#include "base/error.h"
#include "codebooks/bitmod/bitmod_pack.h"
#include "codebooks/bytes/byte_pack.h"
#include "codebooks/bytes/bytes.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/scalar/grid_pack.h"
#include "io/files/output_file.h"
#include "io/hdf5/store.h"
#include "lattice/e8p/e8p_pack.h"
#include "lattice/trellis/trellis_pack.h"
#include "vq/exports/packed_writer.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

using decode::CodeKind;
using decode::ScaleKind;
using decode::TensorKind;

constexpr PackFunction pack_functions[] = {pack_grid, pack_residual, pack_e8p, pack_trellis,
                                           pack_bitmod};

CodedView view_of(const ParsedTensor& tensor) {
    const CodedTensor& coded = tensor.coded;
    CodedView view;
    view.name = tensor.name;
    view.rows = coded.rows();
    view.along_outputs = coded.along() == Along::outputs;
    view.group_scales = coded.layout().scope == ScaleLayout::Scope::group;
    for (const Segment& s : coded.segments()) view.segments.push_back({s.code, s.cols, s.codes});
    return view;
}

PackedSegments pack(const ParsedTensor& tensor) {
    const CodedView view = view_of(tensor);
    for (const PackFunction function : pack_functions)
        if (auto packed = function(view)) return *std::move(packed);
    throw Error("the packed format has no such code", tensor.name, "export --to safetensors");
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

class Exporter {
public:
    Exporter(const StoreReader& store, PackedWriter& writer, PackedMatrices matrices)
        : store_(store), writer_(writer), matrices_(matrices) {}

    void add(const std::string& name, PackedExport& count) {
        const ParsedTensor tensor = parse_stored(store_.read(name), store_.meta().shared);
        ++count.tensors;
        if (!tensor.is_dense()) ++count.coded;
        writer_.add_tensor(tensor.is_dense() ? dense(tensor) : coded(tensor));
    }

private:
    PackedTensor dense(const ParsedTensor& tensor) const {
        PackedTensor t;
        t.name = tensor.name;
        t.rows = tensor.shape.rows;
        t.cols = tensor.shape.cols;
        const Matrix& values = tensor.dense;
        const bool matrix = t.rows > 1;
        if (matrix && matrices_ == PackedMatrices::int8) {
            if (values.cwiseAbs().maxCoeff() > 127 * 65504.0F)
                throw Error("a value is too large for the scale of an 8-bit block", t.name,
                            "export with --dtype f16 or to safetensors");
            bytes(values, t);
        } else if (matrix || tensor.dense_type == ElementType::f16) {
            t.kind = TensorKind::dense_f16;
            t.dense = Array::from_f16({values.size()}, values.data()).bytes;
        } else {
            t.kind = TensorKind::dense_f32;
            t.dense = Array::from_f32({values.size()}, values.data()).bytes;
        }
        return t;
    }

    static void bytes(const Matrix& values, PackedTensor& t) {
        t.padded_rows = decode::ceil_div(t.rows, decode::byte_tile) * decode::byte_tile;
        t.padded_cols = t.cols;
        t.scales = {1.0F};
        PackedSegment s;
        s.record.cols = static_cast<std::uint64_t>(t.cols);
        s.record.code = CodeKind::bytes;
        s.record.dim = 1;
        s.codes =
            byte_layout({values.data(), static_cast<std::size_t>(values.size())}, t.rows, t.cols);
        t.segments.push_back(std::move(s));
    }

    PackedTensor coded(const ParsedTensor& tensor) {
        if (!tensor.side.empty())
            throw Error("the packed format has no low-rank or sparse terms", tensor.name,
                        "export --to safetensors, or quantize without side.rank and side.sparse");
        PackedSegments packed = pack(tensor);
        PackedTensor t;
        t.name = tensor.name;
        t.rows = tensor.shape.rows;
        t.cols = tensor.shape.cols;
        t.padded_rows = packed.padded_rows;
        t.padded_cols = tensor.coded.cols();
        set_scales(tensor.coded, t);
        set_transform(tensor, t);
        for (std::size_t i = 0; i < packed.segments.size(); ++i)
            add_codebooks(tensor.coded.segments()[i].shared, packed.segments[i]);
        t.segments = std::move(packed.segments);
        return t;
    }

    /// Those that several tensors share are written once.
    void add_codebooks(const std::string& shared, PackedSegment& s) {
        // A store may cut the same words into other stages for another tensor.
        std::vector<std::uint32_t> form = {s.record.dim};
        form.insert(form.end(), s.record.stage_bits, s.record.stage_bits + s.record.stages);
        const std::pair<std::string, std::vector<std::uint32_t>> key(shared, form);
        std::vector<std::uint32_t> ids;
        const auto found = shared_ids_.find(key);
        if (found != shared_ids_.end())
            ids = found->second;
        else
            for (const std::vector<float>& words : s.codebooks)
                ids.push_back(writer_.add_codebook(
                    words.data(), static_cast<Index>(words.size()) / s.record.dim, s.record.dim));
        std::copy(ids.begin(), ids.end(), s.record.codebook);
        if (!shared.empty()) shared_ids_[key] = std::move(ids);
    }

    const StoreReader& store_;
    PackedWriter& writer_;
    PackedMatrices matrices_;
    std::map<std::pair<std::string, std::vector<std::uint32_t>>, std::vector<std::uint32_t>>
        shared_ids_;  ///< by name, dimension and bits of stages
};

}  // namespace

PackedExport export_packed(const std::string& store, const PackedSink& sink,
                           PackedMatrices matrices, const Progress& progress) {
    const StoreReader reader(store);
    PackedWriter writer(sink);
    writer.add_blob("config.json", reader.meta().config_json);
    for (const auto& [name, content] : reader.meta().tokenizer) writer.add_blob(name, content);
    Exporter exporter(reader, writer, matrices);
    PackedExport done;
    const auto all = static_cast<double>(reader.names().size());
    for (const std::string& name : reader.names()) {
        progress.check();
        progress.report(static_cast<double>(done.tensors), all, name);
        exporter.add(name, done);
    }
    done.bytes = static_cast<std::int64_t>(writer.finish());
    return done;
}

PackedExport export_packed(const std::string& store, const std::string& path,
                           PackedMatrices matrices, const Progress& progress) {
    OutputFile output(path);
    const PackedExport done = export_packed(
        store,
        [&](std::uint64_t offset, const void* data, std::size_t bytes) {
            output.write_at(static_cast<std::int64_t>(offset), data,
                            static_cast<std::int64_t>(bytes));
        },
        matrices, progress);
    output.commit();
    return done;
}

}  // namespace vq
