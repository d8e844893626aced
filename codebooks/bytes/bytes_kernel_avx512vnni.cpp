// SPDX-License-Identifier: Apache-2.0
// The kernel of bytes with scales for 32 columns: lanes are output rows, so that neither bytes nor
// sums cross lanes.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "codebooks/bytes/bytes.h"

namespace vq::decode {

namespace {

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const std::int32_t* block_sums = block_sums_in(inputs, s.cols);
    const Index tile = row / byte_tile;
    constexpr int parts = byte_tile / 16;
    // Scales change every 32 columns: sums of floats stay in registers from block to block.
    __m512 total[parts];
    for (int i = 0; i < parts; ++i) total[i] = _mm512_loadu_ps(y + 16 * i);
    for (Index b = 0; b < byte_blocks(s); ++b) {
        const std::uint8_t* block = byte_codes(s, tile, b);
        prefetch_after(block, byte_unit);
        __m512i sum[parts];
        for (__m512i& v : sum) v = _mm512_set1_epi32(-byte_offset * block_sums[b]);
        for (Index q = 0; q < byte_block / 4; ++q) {
            std::int32_t four;
            __builtin_memcpy(&four, x.bytes + b * byte_block + 4 * q, sizeof(four));
            const __m512i quad = _mm512_set1_epi32(four);
            for (int i = 0; i < parts; ++i)
                sum[i] = _mm512_dpbusd_epi32(
                    sum[i], _mm512_loadu_si512(block + byte_position(16 * i, 4 * q)), quad);
        }
        const __m512 x_scale = _mm512_set1_ps(x.scales[b * byte_block / activation_group]);
        for (int i = 0; i < parts; ++i) {
            const __m512 scale = _mm512_cvtph_ps(
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 32 * i)));
            total[i] = _mm512_add_ps(
                total[i], _mm512_mul_ps(_mm512_mul_ps(scale, x_scale), _mm512_cvtepi32_ps(sum[i])));
        }
    }
    for (int i = 0; i < parts; ++i) _mm512_storeu_ps(y + 16 * i, total[i]);
}

}  // namespace

const CodeKernels bytes_kernels_avx512vnni = {block_inputs, rows, byte_panel};

}  // namespace vq::decode
