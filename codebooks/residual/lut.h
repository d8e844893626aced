// SPDX-License-Identifier: Apache-2.0
// Lookup-table products (AQLM's CPU kernel, 2401.06118; T-MAC, 2407.00088): for each group of d
// inputs and each stage, the dot products of all codewords with the activations are computed once a
// token; a weight vector then costs one table entry a stage.
//
// Tables are bytes, so that a register permutation looks up 64 rows at once. Activations are
// rounded to 13 bits and codewords to 14, which makes the dot products integers; those of a block
// of 16 groups are divided by the largest of them to 8 bits: an error of at most 1/254 of that
// largest product a lookup, about 1e-4 of the result's variance for Gaussian weights.
//
// Layout. lut: codes of 8 + e bits, d columns a group, 64 rows a tile, 16 groups a block.
//     [block][tile][group in block][stage]: 64 bytes, the low 8 bits of 64 rows, then e planes of 8
//     bytes, a bit for each. Row r of a tile is byte 2r (r < 32) or 2r - 63: even bytes are rows
//     0-31, odd ones 32-63, so that 16-bit sums of even and odd bytes come out in order of rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/packed/activation.h"
#include "base/packed/code_kernels.h"
#include "codebooks/residual/stages.h"

namespace vq::decode {

inline constexpr CodeKind lut_kind{1};

/// The stages of a lookup-table code as integers: every codeword rounded to 14 bits with one scale.
struct LutCodebooks {
    /// Stage after stage; within one [16 codewords][d / 2][16][2]: pairs of dimensions side by
    /// side.
    std::vector<std::int16_t> words;
    float scale = 0;  ///< codeword = scale * word
};

struct LutSegment : StagedSegment {
    const LutCodebooks* lut = nullptr;
};
static inline const LutSegment& lut_segment(const Segment& s) {
    return static_cast<const LutSegment&>(s);
}

inline constexpr Index lut_tile = 64;
inline constexpr Index lut_block = 16;
inline constexpr int lut_least_bits = 8;
inline constexpr int lut_most_bits = 10;
inline constexpr int lut_most_dim = 16;

/// Bytes of one stage's codes of a tile and group.
static inline Index lut_stage_bytes(int bits) {
    return lut_tile + 8 * (bits - lut_least_bits);
}
/// Bytes of all stages of a tile and group.
static inline Index lut_unit(const StagedSegment& s) {
    Index bytes = 0;
    for (int m = 0; m < s.stages; ++m) bytes += lut_stage_bytes(s.stage_bits[m]);
    return bytes;
}
static inline Index lut_groups(const StagedSegment& s, Index block) {
    const Index left = s.groups() - block * lut_block;
    return left < lut_block ? left : lut_block;
}
/// Start of a tile's codes in a block.
static inline Index lut_offset(const StagedSegment& s, Index tiles, Index block, Index tile) {
    return (tiles * block * lut_block + tile * lut_groups(s, block)) * lut_unit(s);
}
/// Byte (and bit of the planes) of row r of a tile.
static inline Index lut_position(Index r) {
    return r < 32 ? 2 * r : 2 * r - 63;
}

/// The inputs of a product: the tables of one activation vector, blocks one after the other.
struct LutTables {
    const std::uint8_t*
        bytes;            ///< [group][stage][2^stage_bits]: dot product / scale + 128, rounded
    const float* scales;  ///< [block]: value of one step of a table of the block
};
/// The same while they are made.
struct LutBuffers {
    std::uint8_t* bytes;
    float* scales;
};
/// Bytes of the tables of one group, all stages.
static inline Index lut_table_bytes(const LutSegment& s) {
    Index bytes = 0;
    for (int m = 0; m < s.stages; ++m) bytes += Index{1} << s.stage_bits[m];
    return bytes;
}
static inline Index lut_blocks(const LutSegment& s) {
    return ceil_div(s.groups(), lut_block);
}
/// Where the scales begin.
static inline Index lut_scales_at(const LutSegment& s) {
    return whole_lines(s.groups() * lut_table_bytes(s));
}
static inline LutTables lut_tables_in(const void* inputs, const LutSegment& s) {
    const auto* at = static_cast<const std::uint8_t*>(inputs);
    return {at, reinterpret_cast<const float*>(at + lut_scales_at(s))};
}
static inline LutBuffers lut_buffers_in(void* inputs, const LutSegment& s) {
    auto* at = static_cast<std::uint8_t*>(inputs);
    return {at, reinterpret_cast<float*>(at + lut_scales_at(s))};
}

inline constexpr float lut_input_most = 4095;

/// A block's activations as integers: x = scale * word.
struct LutInputs {
    std::int16_t words[lut_block * 16] = {};
    float scale = 0;
    Index groups = 0;
};

static inline void quantize_lut_inputs(const LutSegment& s, const float* x, Index block,
                                       LutInputs& in) {
    in.groups = lut_groups(s, block);
    const Index n = in.groups * s.dim;
    const float* from = x + block * lut_block * s.dim;
    float most = 0;
    for (Index i = 0; i < n; ++i)
        most = __builtin_fabsf(from[i]) > most ? __builtin_fabsf(from[i]) : most;
    in.scale = most / lut_input_most;
    const float inverse = most > 0 ? lut_input_most / most : 0;
    for (Index i = 0; i < n; ++i)
        in.words[i] = static_cast<std::int16_t>(round_to_int(from[i] * inverse));
}

/// Steps a unit of the integer dot products, given the largest of them.
static inline float lut_inverse(std::int32_t most) {
    return most > 0 ? 127.0F / static_cast<float>(most) : 0;
}
/// The value of one step.
static inline float lut_scale(const LutSegment& s, const LutInputs& in, std::int32_t most) {
    return static_cast<float>(most) / 127.0F * in.scale * s.lut->scale;
}

/// Calls f(dot product, position in the block's tables) for every table entry, in order.
template <class F>
void for_lut_words(const LutSegment& s, const LutInputs& in, F&& f) {
    Index at = 0;
    for (Index g = 0; g < in.groups; ++g) {
        const std::int16_t* words = s.lut->words.data();
        const std::int16_t* x = in.words + g * s.dim;
        for (int m = 0; m < s.stages; ++m)
            for (Index e0 = 0; e0 < (Index{1} << s.stage_bits[m]); e0 += 16, words += 16 * s.dim)
                for (Index e = 0; e < 16; ++e, ++at) {
                    std::int32_t t = 0;
                    for (Index j = 0; j < s.dim; j += 2)
                        t += words[j * 16 + e * 2] * x[j] + words[j * 16 + e * 2 + 1] * x[j + 1];
                    f(t, at);
                }
    }
}

/// The code of row r among one stage's codes of a tile and group.
static inline std::uint32_t lut_field(const std::uint8_t* codes, int bits, Index r) {
    const Index at = lut_position(r);
    std::uint32_t code = codes[at];
    for (int plane = 0; plane + lut_least_bits < bits; ++plane)
        code |= (codes[lut_tile + 8 * plane + at / 8] >> at % 8 & 1u) << (lut_least_bits + plane);
    return code;
}

extern const PackedCode lut_code;
extern const CodeKernels lut_kernels_avx2;
extern const CodeKernels lut_kernels_avx512vnni;

}  // namespace vq::decode
