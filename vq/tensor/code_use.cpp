// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/code_use.h"

#include <cmath>
#include <numeric>
#include <string>

#include "base/codes/code_spec.h"
#include "vq/tensor/tensor_fields.h"

namespace vq {

namespace {

StageUse use_of(const std::vector<std::uint64_t>& codes, int shift, int bits) {
    StageUse out;
    out.bits = bits;
    out.words = Index{1} << bits;
    out.codes = static_cast<Index>(codes.size());
    std::vector<Index> counts(static_cast<std::size_t>(out.words), 0);
    for (const std::uint64_t code : codes)
        ++counts[(code >> shift) & static_cast<std::uint64_t>(out.words - 1)];
    for (const Index count : counts) {
        if (count == 0) continue;
        ++out.used;
        const double p = static_cast<double>(count) / static_cast<double>(out.codes);
        out.entropy -= p * std::log2(p);
    }
    return out;
}

}  // namespace

std::vector<StageUse> code_use(const StoredTensor& tensor) {
    std::vector<StageUse> out;
    const Json& spec = tensor.spec;
    if (!spec.is_object() || spec.value("code", "") != "residual") return out;
    const TensorFields fields(tensor.arrays, tensor.name);
    const Index rows = fields.integer(spec, "padded_rows", 1, Index{1} << 31);
    if (!spec.contains("segments") || !spec["segments"].is_array()) fields.fail("no segments");
    std::size_t i = 0;
    for (const Json& segment : spec["segments"]) {
        const Index cols = fields.integer(segment, "cols", 1, Index{1} << 31);
        const Index dim = fields.integer(segment, "dim", 1, 64);
        const std::vector<int> stages =
            parse_stage_bits(segment, [&](const std::string& what) { fields.fail(what); });
        const std::vector<std::uint64_t> codes =
            fields.codes(segment_array("codes", i), rows * cols / dim,
                         std::accumulate(stages.begin(), stages.end(), 0));
        int shift = 0;
        for (const int bits : stages) {
            out.push_back(use_of(codes, shift, bits));
            shift += bits;
        }
        ++i;
    }
    return out;
}

}  // namespace vq
