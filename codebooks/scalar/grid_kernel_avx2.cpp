// SPDX-License-Identifier: Apache-2.0
// The kernel of scalar grids for AVX2: as that of AVX-512, 8 rows a register.
#include <immintrin.h>

#include "base/packed/quad_avx2.h"
#include "codebooks/scalar/grid.h"

namespace vq::decode {

namespace {

/// Codes of quad n (columns 4n .. 4n + 3) of 8 rows in the lowest bits of the bytes.
__m256i codes_of_quad(const std::uint8_t* codes, int bits, int n) {
    const auto dword = [&](int d) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + d * 4 * grid_tile));
    };
    const int width = bits == 3 ? 2 : bits;
    const int count = 8 / width;
    // Masked, unlike with AVX-512: a shuffle makes zeros where the highest bit of an index is set.
    const __m256i low = _mm256_and_si256(_mm256_srli_epi16(dword(n / count), width * (n % count)),
                                         _mm256_set1_epi8(static_cast<char>((1 << width) - 1)));
    if (bits != 3) return low;
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(dword(2), n), _mm256_set1_epi8(1));
    return _mm256_or_si256(low, _mm256_slli_epi16(high, 2));
}

void tile_rows(const GridSegment& s, const ByteActivations& x, Index tile, Index begin, Index end,
               float* y) {
    constexpr Index steps_a_group = activation_group / grid_step;
    const __m256i values = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.table->bytes));
    for (Index g = begin; g < end; ++g) {
        const Index last =
            grid_steps(s) < (g + 1) * steps_a_group ? grid_steps(s) : (g + 1) * steps_a_group;
        __m256i sum[grid_tile / 8];
        for (__m256i& v : sum) v = _mm256_set1_epi32(-grid_offset * x.sums[g]);
        for (Index k = g * steps_a_group; k < last; ++k)
            for (int n = 0; n < grid_step / 4; ++n) {
                const QuadAvx2 quad(x.bytes + k * grid_step + 4 * n);
                for (Index r = 0; r < grid_tile; r += 8) {
                    const __m256i v = _mm256_shuffle_epi8(
                        values, codes_of_quad(grid_codes(s, tile, k) + 4 * r, s.bits, n));
                    sum[r / 8] = _mm256_add_epi32(sum[r / 8], quad.dot(v));
                }
            }
        const __m256 factor = _mm256_set1_ps(x.scales[g] * s.table->step);
        for (Index r = 0; r < grid_tile; r += 8)
            _mm256_storeu_ps(y + r,
                             _mm256_add_ps(_mm256_loadu_ps(y + r),
                                           _mm256_mul_ps(factor, _mm256_cvtepi32_ps(sum[r / 8]))));
    }
}

void rows(const Tensor& t, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    grid_rows(t, grid_segment(s), inputs, row, y, tile_rows);
}

PanelWeights panel(const Tensor& t, const Segment& any, Index row, Index /*count*/, Index col,
                   Index cols, PanelRoom& room) {
    const GridSegment& s = grid_segment(any);
    const __m256i values = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.table->bytes));
    for (Index q = 0; 4 * q < cols; ++q)
        for (Index r = 0; r < grid_tile; r += 8) {
            const __m256i codes =
                codes_of_quad(grid_codes(s, row / grid_tile, (col + 4 * q) / grid_step) + 4 * r,
                              s.bits, static_cast<int>(q % (grid_step / 4)));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(room.bytes + (q * grid_tile + r) * 4),
                                _mm256_shuffle_epi8(values, codes));
        }
    step_scales(t, row, s.col0 + col, s.table->step, room.row_scales);
    return {room.bytes, room.row_scales};
}

}  // namespace

const CodeKernels grid_kernels_avx2 = {byte_inputs, rows, panel};

}  // namespace vq::decode
