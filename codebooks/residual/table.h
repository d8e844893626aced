// SPDX-License-Identifier: Apache-2.0
// Tables of codewords for integer kernels: vectors of 2 to 8 values, each value a byte,
//     value = (byte - 128) * step,   step = largest / 127,
// so that a codeword is one load of 8 bytes. 2^16 codewords of 8 values take half a megabyte, which
// stays in the L2 cache. Rounding adds about 1e-4 of the codewords' variance; a codebook with an
// outlier, to which it would add more than table_tolerance, has no such table and is decoded to
// floats. Single values are, too: those that fit into bytes are grids (codebooks/scalar/grid.h).
//
// Layout. table: [row, or band of `dim` rows][vector]: codes one after the other, lowest bit first;
//     every row (band) begins with a whole byte.
#pragma once

#include <cstring>
#include <vector>

#include "base/packed/activation.h"
#include "base/packed/code_kernels.h"
#include "codebooks/residual/stages.h"

namespace vq::decode {

inline constexpr CodeKind table_kind{2};

struct ByteCodebook;

struct TableSegment : StagedSegment {
    bool along_outputs = false;  ///< vectors of `dim` outputs of a column, else of inputs of a row
    const ByteCodebook* vectors[most_stages] = {};  ///< where bytes are near enough, else null
};
static inline const TableSegment& table_segment(const Segment& s) {
    return static_cast<const TableSegment&>(s);
}

static inline Index table_row_bytes(const TableSegment& s) {
    return ceil_div((s.along_outputs ? s.cols : s.groups()) * s.bits, 8);
}

inline constexpr std::int32_t table_offset = 128;
inline constexpr int table_least_dim = 2;
inline constexpr int table_most_dim = 8;
/// Vectors along inputs that share a scale of the activations, in 8 bytes each.
inline constexpr Index table_block = 16;
/// Of the square of the median magnitude, which outliers do not move; 2e-4 of a normal variance.
inline constexpr double table_tolerance = 4.4e-4;

struct ByteCodebook {
    std::vector<std::uint8_t> bytes;  ///< [entry][8], table_offset beyond the dimension
    float step = 0;
    bool fits = false;
};
/// values: size (entries, dim), finite, dim <= table_most_dim.
ByteCodebook round_codebook(const float* values, Index entries, int dim);

/// Vectors along inputs to int8 as quantize_activations() rounds: bytes as [vector of `dim`][8], a
/// scale for table_block vectors, no pairs.
void quantize_vectors(const float* x, Index vectors, int dim, const ByteBuffers& out);

/// The codes of a row, or of the `dim` rows of a band, where vectors lie along outputs.
static inline const std::uint8_t* table_codes(const TableSegment& s, Index row) {
    return s.codes + row * table_row_bytes(s);
}
/// Field of stage `stage` in code i.
static inline std::uint32_t table_entry(const TableSegment& s, const std::uint8_t* codes, Index i,
                                        int stage) {
    std::uint64_t word = 0;
    std::memcpy(&word, codes + i * s.bits / 8, sizeof(word));
    word >>= i * s.bits % 8;
    for (int m = 0; m < stage; ++m) word >>= s.stage_bits[m];
    return static_cast<std::uint32_t>(word & ((1u << s.stage_bits[stage]) - 1u));
}

/// Where the inputs lie: int8 activations, those of vectors along inputs 8 bytes a vector.
static inline ByteRoom table_room(const TableSegment& s) {
    if (s.along_outputs) return byte_room(s.cols);
    const Index blocks = ceil_div(s.groups(), table_block);
    return byte_room(blocks * table_block * table_most_dim, 0, blocks);
}
/// CodeKernels::inputs of all instruction sets.
void table_inputs(const Kernels& shared, const Segment& s, const float* x, Index item,
                  void* inputs);

extern const PackedCode table_code;
extern const CodeKernels table_kernels_avx2;
extern const CodeKernels table_kernels_avx512vnni;

}  // namespace vq::decode
