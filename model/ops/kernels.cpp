// SPDX-License-Identifier: Apache-2.0
#include "model/ops/kernels.h"

#include <bit>
#include <cstdint>

#include "base/error.h"
#include "model/ops/kernels_body.h"

namespace vq {

namespace {

struct ScalarLane {
    static constexpr Index width = 1;
    float v;
    static ScalarLane set(float x) { return {x}; }
    static ScalarLane load(const float* p) { return {*p}; }
    static ScalarLane load_n(const float* p, Index, float) { return {*p}; }
    void store(float* p) const { *p = v; }
    void store_n(float* p, Index) const { *p = v; }
    static ScalarLane fmadd(ScalarLane a, ScalarLane b, ScalarLane c) { return {a.v * b.v + c.v}; }
    static ScalarLane max(ScalarLane a, ScalarLane b) { return {a.v > b.v ? a.v : b.v}; }
    static ScalarLane min(ScalarLane a, ScalarLane b) { return {a.v < b.v ? a.v : b.v}; }
    static ScalarLane round(ScalarLane a) {
        constexpr float magic = 12582912.0F;  // 1.5 * 2^23: the sum has no fractional bits left
        return {(a.v + magic) - magic};
    }
    static ScalarLane pow2(ScalarLane a) {
        const float n = a.v == a.v ? a.v : 0.0F;  // a NaN goes on through the polynomial
        return {std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23)};
    }
    static float sum(ScalarLane a) { return a.v; }
    static float largest(ScalarLane a) { return a.v; }
    friend ScalarLane operator+(ScalarLane a, ScalarLane b) { return {a.v + b.v}; }
    friend ScalarLane operator-(ScalarLane a, ScalarLane b) { return {a.v - b.v}; }
    friend ScalarLane operator*(ScalarLane a, ScalarLane b) { return {a.v * b.v}; }
    friend ScalarLane operator/(ScalarLane a, ScalarLane b) { return {a.v / b.v}; }
};

void to_bf16(const float* x, Index n, BFloat16* out) {
    bf16_from_float(x, n, out);
}

}  // namespace

const Kernels kernels_scalar = kernels_detail::table<ScalarLane>(to_bf16);

Kernels::Activate activation_kernel(const Kernels& kernel, Activation activation) {
    return kernel.activate[static_cast<std::size_t>(activation)];
}

const Kernels& kernels(Isa isa) {
    switch (isa) {
        case Isa::amx:
        case Isa::avx512: return kernels_avx512;
        case Isa::avx2: return kernels_avx2;
        default: return kernels_scalar;
    }
}

}  // namespace vq
