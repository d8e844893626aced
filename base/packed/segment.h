// A tensor of a packed file as kernels see it: checked, with pointers instead of offsets.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/half.h"
#include "base/packed/format.h"

namespace vq::decode {

using Index = std::int64_t;

static inline Index ceil_div(Index a, Index b) {
    return (a + b - 1) / b;
}

struct LutCodebooks;
struct GridTable;
struct ByteCodebook;

struct Segment {
    Index col0 = 0;
    Index cols = 0;
    CodeKind code = CodeKind::table;
    bool along_outputs = false;
    int dim = 1;
    int stages = 0;
    int stage_bits[most_stages] = {};
    int bits = 0;                                   ///< of one code
    const float* codebook[most_stages] = {};        ///< [2^stage_bits][dim]
    const LutCodebooks* lut = nullptr;              ///< code lut
    const GridTable* grid = nullptr;                ///< code grid
    const ByteCodebook* vectors[most_stages] = {};  ///< code table, where bytes are near enough
    TrellisValue trellis_value = TrellisValue::byte_sum;
    int trellis_bits = 0;
    Index tile_rows = 0;
    std::uint32_t multiplier[2] = {};
    std::uint32_t addend[2] = {};
    float gain[2] = {};
    const std::uint8_t* codes = nullptr;
    Index code_bytes = 0;  ///< without the slack

    Index groups() const { return cols / dim; }
};

struct Tensor {
    std::string_view name;
    Index rows = 0;
    Index cols = 0;
    Index padded_rows = 0;
    Index padded_cols = 0;
    TensorKind kind = TensorKind::coded;
    const std::uint8_t* dense = nullptr;
    ScaleKind scale_kind = ScaleKind::tensor;
    Index scale_group = 0;
    float tensor_scale = 1;
    const Half* scales = nullptr;
    const Half* column_scale = nullptr;
    const std::uint32_t* permutation = nullptr;
    bool rotated_in = false;
    bool rotated_out = false;
    const std::uint64_t* signs_in =
        nullptr;  ///< of the rotations, a bit a value (decode/rotation.h)
    const std::uint64_t* signs_out = nullptr;
    std::span<const Segment> segments;
    std::uint64_t bytes = 0;  ///< of all its sections

    float scale(Index row) const {  ///< not for ScaleKind::group
        return scale_kind == ScaleKind::tensor ? tensor_scale : float_from_half(scales[row]);
    }
};

}  // namespace vq::decode
