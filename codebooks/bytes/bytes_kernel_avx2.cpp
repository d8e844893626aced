// SPDX-License-Identifier: Apache-2.0
// The kernel of bytes with scales for 32 columns for AVX2: as that of AVX-512, 8 rows a register.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "base/packed/quad_avx2.h"
#include "codebooks/bytes/bytes.h"

namespace vq::decode {

namespace {

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const std::int32_t* block_sums = block_sums_in(inputs, s.cols);
    const Index tile = row / byte_tile;
    constexpr int parts = byte_tile / 8;
    for (Index b = 0; b < byte_blocks(s); ++b) {
        const std::uint8_t* block = byte_codes(s, tile, b);
        prefetch_after(block, byte_unit);
        __m256i sum[parts];
        for (__m256i& v : sum) v = _mm256_set1_epi32(-byte_offset * block_sums[b]);
        for (Index q = 0; q < byte_block / 4; ++q) {
            const QuadAvx2 quad(x.bytes + b * byte_block + 4 * q);
            for (int i = 0; i < parts; ++i) {
                const __m256i v = _mm256_loadu_si256(
                    reinterpret_cast<const __m256i*>(block + byte_position(8 * i, 4 * q)));
                sum[i] = _mm256_add_epi32(sum[i], quad.dot(v));
            }
        }
        const __m256 x_scale = _mm256_set1_ps(x.scales[b * byte_block / activation_group]);
        for (int i = 0; i < parts; ++i) {
            const __m256 scale =
                _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * i)));
            _mm256_storeu_ps(y + 8 * i, _mm256_add_ps(_mm256_loadu_ps(y + 8 * i),
                                                      _mm256_mul_ps(_mm256_mul_ps(scale, x_scale),
                                                                    _mm256_cvtepi32_ps(sum[i]))));
        }
    }
}

}  // namespace

const CodeKernels bytes_kernels_avx2 = {block_inputs, rows, byte_panel};

}  // namespace vq::decode
