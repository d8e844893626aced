// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VBMI (vpermi2b, vpermb, vpmultishiftqb) and VNNI (vpdpbusd, vpdpwssd).
// Everything here has internal linkage or is inlined from headers of plain integers, so that no
// code made for this instruction set is picked by the linker for another.
#include <immintrin.h>

#include "base/packed/activation_kernel_avx512vnni.h"
#include "base/packed/kernels.h"
#include "base/packed/panel_kernel_avx512vnni.h"

namespace vq::decode {

namespace {

__mmask16 first_lanes(Index n) {
    return static_cast<__mmask16>((1u << n) - 1u);
}

struct Floats {
    static __m512 load(__mmask16 mask, const float* p) { return _mm512_maskz_loadu_ps(mask, p); }
};
struct Halves {
    static __m512 load(__mmask16 mask, const Half* p) {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p));
    }
};
struct BFloats {
    static __m512 load(__mmask16 mask, const BFloat16* p) {
        return _mm512_castsi512_ps(
            _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p)), 16));
    }
};

template <class A, class T>
float dot_of(const T* a, const float* b, Index n) {
    constexpr __mmask16 all = 0xFFFF;
    // Two loads feed each multiply-add and a cycle has two, so that one is done a cycle at best: at
    // a latency of four cycles four sums keep that up.
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    Index i = 0;
    for (; i + 64 <= n; i += 64)
        for (int k = 0; k < 4; ++k)
            sum[k] = _mm512_fmadd_ps(A::load(all, a + i + 16 * k), _mm512_loadu_ps(b + i + 16 * k),
                                     sum[k]);
    for (; i < n; i += 16) {
        const __mmask16 mask = n - i < 16 ? first_lanes(n - i) : all;
        sum[0] = _mm512_fmadd_ps(A::load(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i), sum[0]);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

}  // namespace

const Kernels kernels_avx512vnni = {"avx512vnni",
                                    KernelSet::avx512vnni,
                                    hadamard_kernel::block<activation_kernel::Lanes>,
                                    activation_kernel::flip_signs,
                                    activation_kernel::quantize,
                                    panel_kernel::panel,
                                    panel_kernel::round_weights,
                                    dot_of<Floats>,
                                    dot_of<Halves>,
                                    dot_of<BFloats>};

}  // namespace vq::decode
