// SPDX-License-Identifier: Apache-2.0
// Four activations times four unsigned bytes of weights in every 32-bit lane, for AVX2: bytes times
// bytes would saturate in 16 bits, so that even and odd ones are multiplied as 16-bit integers.
// Included by the kernels of kernels_avx2.cpp alone.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace vq::decode {

namespace {

class QuadAvx2 {
public:
    explicit QuadAvx2(const std::int8_t* activations) {
        std::int32_t four;
        __builtin_memcpy(&four, activations, sizeof(four));
        const __m256i quad = _mm256_set1_epi32(four);
        even_ = _mm256_srai_epi16(_mm256_slli_epi16(quad, 8), 8);
        odd_ = _mm256_srai_epi16(quad, 8);
    }
    __m256i dot(__m256i weights) const {
        const __m256i low = _mm256_and_si256(weights, _mm256_set1_epi16(0x00FF));
        return _mm256_add_epi32(_mm256_madd_epi16(low, even_),
                                _mm256_madd_epi16(_mm256_srli_epi16(weights, 8), odd_));
    }

private:
    __m256i even_;
    __m256i odd_;
};

}  // namespace

}  // namespace vq::decode
