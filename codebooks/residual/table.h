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

#include <array>
#include <cstring>
#include <vector>

#include "base/packed/activation.h"
#include "base/packed/segment.h"

namespace vq::decode {

static inline Index table_row_bytes(const Segment& s) {
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
static inline const std::uint8_t* table_codes(const Segment& s, Index row) {
    return s.codes + row * table_row_bytes(s);
}
/// Field of stage `stage` in code i.
static inline std::uint32_t table_entry(const Segment& s, const std::uint8_t* codes, Index i,
                                        int stage) {
    std::uint64_t word = 0;
    std::memcpy(&word, codes + i * s.bits / 8, sizeof(word));
    word >>= i * s.bits % 8;
    for (int m = 0; m < stage; ++m) word >>= s.stage_bits[m];
    return static_cast<std::uint32_t>(word & ((1u << s.stage_bits[stage]) - 1u));
}

/// Kernels::table_rows in plain code.
static inline void table_rows_plain(const Segment& s, const ByteActivations& x, Index row,
                                    Index count, float* y) {
    const Index width = s.along_outputs ? activation_group : table_block;
    const Index codes_a_row = s.along_outputs ? s.cols : s.groups();
    for (Index r = 0; r < count; ++r) {
        const std::uint8_t* codes = table_codes(s, row + r);
        for (Index g = 0; g * width < codes_a_row; ++g) {
            const Index end = codes_a_row < (g + 1) * width ? codes_a_row : (g + 1) * width;
            for (int m = 0; m < s.stages; ++m) {
                const std::uint8_t* words = s.vectors[m]->bytes.data();
                const float factor = x.scales[g] * s.vectors[m]->step;
                std::array<std::int32_t, table_most_dim> sums{};
                for (Index i = g * width; i < end; ++i) {
                    const std::uint8_t* word = words + table_entry(s, codes, i, m) * 8;
                    for (int k = 0; k < 8; ++k)
                        sums[k] += word[k] * x.bytes[s.along_outputs ? i : 8 * i + k];
                }
                const std::int32_t bias = table_offset * x.sums[g];
                if (s.along_outputs) {
                    for (int k = 0; k < s.dim; ++k)
                        y[r * s.dim + k] += factor * static_cast<float>(sums[k] - bias);
                } else {
                    std::int32_t sum = 0;
                    for (const std::int32_t v : sums) sum += v;
                    y[r] += factor * static_cast<float>(sum - bias);
                }
            }
        }
    }
}

}  // namespace vq::decode
