// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_pack.h"

#include "base/bits.h"
#include "base/error.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/scalar/grid_pack.h"

namespace vq {

namespace {

/// Codes of b bits keep their values, with the special value of choice 0 at "minus zero"; those of
/// choices 1 .. 3 come after them, and zeros fill up.
Matrix grid_values(int bits) {
    const std::vector<float> m = BitmodCode::magnitudes(bits);
    const std::vector<float> special = BitmodCode::specials(bits);
    std::vector<float> values = m;
    for (const float v : m) values.push_back(-v);
    values[m.size()] = special[0];
    values.insert(values.end(), special.begin() + 1, special.end());
    values.resize(std::size_t{2} << bits, 0.0F);
    return Eigen::Map<const Matrix>(values.data(), static_cast<Index>(values.size()), 1);
}

}  // namespace

BitmodGrid bitmod_as_grid(const BitmodCode& code, std::span<const std::uint64_t> codes) {
    const int bits = code.bits_per_weight();
    const int dim = code.dim();
    BitmodGrid out;
    out.code = std::make_shared<ResidualCode>(std::vector<Matrix>{grid_values(bits)}, 1);
    const auto special = static_cast<std::uint64_t>(BitmodCode::special_code(bits));
    const auto words = static_cast<std::size_t>(code.words());
    out.codes.reserve(codes.size() / words * static_cast<std::size_t>(dim));
    for (std::size_t g = 0; g < codes.size(); g += words) {
        const std::uint64_t* group = codes.data() + g;
        const std::uint64_t choice = read_field(group, 0, BitmodCode::choice_bits);
        for (int j = 0; j < dim; ++j) {
            const std::uint64_t value = read_field(group, BitmodCode::choice_bits + j * bits, bits);
            out.codes.push_back(value == special && choice > 0 ? (1U << bits) + choice - 1 : value);
        }
    }
    return out;
}

std::optional<PackedSegments> pack_bitmod(const CodedView& tensor) {
    const std::vector<const BitmodCode*> codes = codes_as<BitmodCode>(tensor);
    if (codes.empty()) return std::nullopt;
    if (tensor.along_outputs)
        throw Error("BitMoD groups along outputs", tensor.name,
                    "packed files have them along inputs: use code.along=inputs");
    CodedView grids = tensor;
    std::vector<BitmodGrid> kept;  // what `grids` looks at
    kept.reserve(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) {
        kept.push_back(bitmod_as_grid(*codes[i], tensor.segments[i].codes));
        grids.segments[i].code = kept.back().code;
        grids.segments[i].shared.clear();
        grids.segments[i].codes = kept.back().codes;
    }
    if (auto packed = pack_grid(grids)) return packed;
    return pack_residual(grids);  // 4 bits become 5, for which there is no grid kernel
}

}  // namespace vq
