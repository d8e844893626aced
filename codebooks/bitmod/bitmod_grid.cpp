// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_grid.h"

#include <string>

#include "base/bits.h"
#include "base/error.h"
#include "codebooks/bitmod/bitmod_code.h"
#include "vq/tensor/tensor_fields.h"

namespace vq {

namespace {

/// Codes of b bits keep their values, with the special value of choice 0 at "minus zero"; those of
/// choices 1 .. 3 come after them, and zeros fill up.
Array grid_codebook(int bits) {
    const std::vector<float> m = BitmodCode::magnitudes(bits);
    const std::vector<float> special = BitmodCode::specials(bits);
    std::vector<float> values = m;
    for (const float v : m) values.push_back(-v);
    values[m.size()] = special[0];
    values.insert(values.end(), special.begin() + 1, special.end());
    values.resize(std::size_t{2} << bits, 0.0F);
    return Array::from_f16({static_cast<Index>(values.size()), 1}, values.data());
}

/// The codes of one segment, each weight's in turn.
Array grid_codes(const Array& packed, Index groups, int dim, int bits) {
    const int width = BitmodCode::code_bits(dim, bits);
    const int words = (width + 63) / 64;
    const std::vector<std::uint64_t> codes = unpack_codes(packed.bytes, groups, width);
    const auto special = static_cast<std::uint64_t>(BitmodCode::special_code(bits));
    std::vector<std::uint64_t> out;
    out.reserve(static_cast<std::size_t>(groups * dim));
    for (Index g = 0; g < groups; ++g) {
        const std::uint64_t* code = codes.data() + g * words;
        const std::uint64_t choice = read_field(code, 0, BitmodCode::choice_bits);
        for (int j = 0; j < dim; ++j) {
            const std::uint64_t value = read_field(code, BitmodCode::choice_bits + j * bits, bits);
            out.push_back(value == special && choice > 0 ? (1U << bits) + choice - 1 : value);
        }
    }
    return Array::from_u8(pack_bits(out, bits + 1));
}

}  // namespace

StoredTensor bitmod_as_grid(const StoredTensor& stored) {
    if (stored.spec.at("along") != "inputs")
        throw Error("BitMoD groups along outputs", stored.name,
                    "packed files have them along inputs: use code.along=inputs");
    StoredTensor out = stored;
    out.spec["code"] = "residual";
    Json segments = Json::array();
    const auto rows = stored.spec.at("padded_rows").get<Index>();
    std::size_t i = 0;
    for (const Json& entry : stored.spec.at("segments")) {
        const auto cols = entry.at("cols").get<Index>();
        const auto dim = entry.at("dim").get<int>();
        const auto bits = entry.at("bits").get<int>();
        segments.push_back(
            {{"cols", cols}, {"dim", 1}, {"stage_bits", {bits + 1}}, {"codebook", ""}});
        Array& codes = out.arrays.at(segment_array("codes", i));
        codes = grid_codes(codes, rows * cols / dim, dim, bits);
        out.arrays[segment_array("codebooks", i)] = grid_codebook(bits);
        ++i;
    }
    out.spec["segments"] = std::move(segments);
    return out;
}

}  // namespace vq
