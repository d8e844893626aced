// SPDX-License-Identifier: Apache-2.0
// The kernels of kernels.h over a vector type V (width lanes of fp32), included by one source an
// instruction set. V has: load, store, load_n(p, n, fill), store_n(p, n), set, fmadd, max, min,
// round (to nearest), pow2 (2^n of an integral n), sum and largest over lanes, and + - * /.
// Everything here is a template on V and calls nothing from the standard library, so that no code
// compiled for one instruction set can be picked by the linker for another.
#pragma once

#include "model/ops/kernels.h"

namespace vq::kernels_detail {

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; ln 2 is split in two so that r is
// exact to the last bit. The polynomial is the minimax fit of Moshier's Cephes library (expf): 2
// ulp.
template <class V>
inline V exp(V x) {
    x = V::min(V::set(88.3F), V::max(V::set(-87.3F), x));  // operands so ordered that NaN stays
    const V n = V::round(x * V::set(1.44269504F));
    const V r = V::fmadd(n, V::set(2.12194440e-4F), V::fmadd(n, V::set(-0.693359375F), x));
    V p = V::set(1.9875691500e-4F);
    p = V::fmadd(p, r, V::set(1.3981999507e-3F));
    p = V::fmadd(p, r, V::set(8.3334519073e-3F));
    p = V::fmadd(p, r, V::set(4.1665795894e-2F));
    p = V::fmadd(p, r, V::set(1.6666665459e-1F));
    p = V::fmadd(p, r, V::set(5.0000001201e-1F));
    p = V::fmadd(p, r * r, r + V::set(1.0F));
    return p * V::pow2(n);
}

template <class V>
float max(const float* x, Index n) {
    constexpr Index w = V::width;
    V m0 = V::set(x[0]);
    V m1 = m0;
    V m2 = m0;
    V m3 = m0;
    Index i = 0;
    for (; i + 4 * w <= n; i += 4 * w) {  // four chains: one alone is bound by the latency of max
        m0 = V::max(m0, V::load(x + i));
        m1 = V::max(m1, V::load(x + i + w));
        m2 = V::max(m2, V::load(x + i + 2 * w));
        m3 = V::max(m3, V::load(x + i + 3 * w));
    }
    for (; i + w <= n; i += w) m0 = V::max(m0, V::load(x + i));
    if (i < n) m1 = V::max(m1, V::load_n(x + i, n - i, x[0]));
    return V::largest(V::max(V::max(m0, m1), V::max(m2, m3)));
}

template <class V>
float exp_sum(const float* x, Index n, float shift) {
    constexpr Index w = V::width;
    const V s = V::set(shift);
    V total = V::set(0.0F);
    Index i = 0;
    for (; i + w <= n; i += w) total = total + exp<V>(V::load(x + i) - s);
    if (i < n) total = total + exp<V>(V::load_n(x + i, n - i, shift - 200.0F) - s);
    return V::sum(total);
}

template <class V>
float exp_in_place(float* x, Index n, float shift) {
    constexpr Index w = V::width;
    const V s = V::set(shift);
    V total = V::set(0.0F);
    Index i = 0;
    for (; i + w <= n; i += w) {
        const V e = exp<V>(V::load(x + i) - s);
        e.store(x + i);
        total = total + e;
    }
    if (i < n) {
        const V e = exp<V>(V::load_n(x + i, n - i, shift - 200.0F) - s);
        e.store_n(x + i, n - i);
        total = total + e;
    }
    return V::sum(total);
}

template <class V>
KlSums kl_sums(const float* ref, const float* x, Index n, float shift_ref, float shift_x) {
    constexpr Index w = V::width;
    const V sr = V::set(shift_ref);
    const V sx = V::set(shift_x);
    V total_ref = V::set(0.0F);
    V total_x = V::set(0.0F);
    V cross = V::set(0.0F);
    Index i = 0;
    for (; i + w <= n; i += w) {
        const V r = V::load(ref + i);
        const V y = V::load(x + i);
        const V e = exp<V>(r - sr);
        total_ref = total_ref + e;
        total_x = total_x + exp<V>(y - sx);
        cross = V::fmadd(e, r - y, cross);
    }
    if (i < n) {
        const V r = V::load_n(ref + i, n - i, shift_ref - 200.0F);
        const V y = V::load_n(x + i, n - i, shift_x - 200.0F);
        const V e = exp<V>(r - sr);
        total_ref = total_ref + e;
        total_x = total_x + exp<V>(y - sx);
        cross = V::fmadd(e, r - y, cross);
    }
    return {V::sum(total_ref), V::sum(total_x), V::sum(cross)};
}

template <class V>
inline V sigmoid(V x) {
    const V one = V::set(1.0F);
    return one / (one + exp<V>(V::set(0.0F) - x));
}

struct Silu {
    template <class V>
    static V act(V gate, V up) {
        return gate / (V::set(1.0F) + exp<V>(V::set(0.0F) - gate)) * up;
    }
};

// x (1 + erf(x / sqrt 2)) / 2 with erf from Abramowitz and Stegun 7.1.26, good to 1.5e-7: with
// q = erfc(|x| / sqrt 2) / 2, x - x q above 0 and x q below.
struct Gelu {
    template <class V>
    static V act(V gate, V up) {
        const V zero = V::set(0.0F);
        const V size = V::max(zero - gate, gate);
        const V z = size * V::set(0.70710678F);
        const V t = V::set(1.0F) / V::fmadd(V::set(0.3275911F), z, V::set(1.0F));
        V p = V::set(1.061405429F);
        p = V::fmadd(p, t, V::set(-1.453152027F));
        p = V::fmadd(p, t, V::set(1.421413741F));
        p = V::fmadd(p, t, V::set(-0.284496736F));
        p = V::fmadd(p, t, V::set(0.254829592F));
        const V q = V::set(0.5F) * p * t * exp<V>(zero - z * z);
        return (V::max(zero, gate) - size * q) * up;
    }
};

// x (1 + tanh u) / 2 = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluTanh {
    template <class V>
    static V act(V gate, V up) {
        const V cubic = V::fmadd(V::set(0.044715F) * gate * gate, gate, gate);
        return gate * sigmoid<V>(V::set(1.59576912F) * cubic) * up;
    }
};

struct ReluSquared {
    template <class V>
    static V act(V gate, V up) {
        const V positive = V::max(V::set(0.0F), gate);
        return positive * positive * up;
    }
};

struct ClampedSwiglu {
    template <class V>
    static V act(V gate, V up) {
        const V limit = V::set(7.0F);
        const V g = V::min(limit, gate);
        const V u = V::max(V::set(-7.0F), V::min(limit, up));
        return (u + V::set(1.0F)) * g * sigmoid<V>(V::set(1.702F) * g);
    }
};

template <class V, class Act>
void activate(const float* gate, const float* up, Index n, float* out) {
    constexpr Index w = V::width;
    const V one = V::set(1.0F);
    Index i = 0;
    if (up == nullptr) {
        for (; i + w <= n; i += w) Act::act(V::load(gate + i), one).store(out + i);
        if (i < n) Act::act(V::load_n(gate + i, n - i, 0.0F), one).store_n(out + i, n - i);
        return;
    }
    for (; i + w <= n; i += w) Act::act(V::load(gate + i), V::load(up + i)).store(out + i);
    if (i < n)
        Act::act(V::load_n(gate + i, n - i, 0.0F), V::load_n(up + i, n - i, 0.0F))
            .store_n(out + i, n - i);
}

template <class V>
void sigmoid_mul(const float* gate, const float* x, Index n, float* out) {
    constexpr Index w = V::width;
    for (Index i = 0; i < n; i += w) {
        const Index m = n - i < w ? n - i : w;
        (sigmoid<V>(V::load_n(gate + i, m, 0.0F)) * V::load_n(x + i, m, 0.0F)).store_n(out + i, m);
    }
}

// tanh(u) = 2 / (1 + exp(-2 u)) - 1: good to 1e-7 of the cap, of which a score keeps no more.
template <class V>
void softcap(float* x, Index n, float cap) {
    constexpr Index w = V::width;
    const V twice = V::set(2.0F / cap);
    for (Index i = 0; i < n; i += w) {
        const Index m = n - i < w ? n - i : w;
        const V half = sigmoid<V>(V::load_n(x + i, m, 0.0F) * twice);
        V::fmadd(V::set(2.0F * cap), half, V::set(-cap)).store_n(x + i, m);
    }
}

template <class V>
void rms_norm(const float* x, const float* weight, Index n, float eps, float* out) {
    constexpr Index w = V::width;
    V s0 = V::set(0.0F);
    V s1 = s0;
    Index i = 0;
    for (; i + 2 * w <= n; i += 2 * w) {
        const V a = V::load(x + i);
        const V b = V::load(x + i + w);
        s0 = V::fmadd(a, a, s0);
        s1 = V::fmadd(b, b, s1);
    }
    for (; i < n; i += w) {
        const V a = V::load_n(x + i, n - i < w ? n - i : w, 0.0F);
        s0 = V::fmadd(a, a, s0);
    }
    const float mean = V::sum(s0 + s1) / static_cast<float>(n);
    const V scale = V::set(1.0F / __builtin_sqrtf(mean + eps));
    for (i = 0; i + w <= n; i += w) (V::load(x + i) * scale * V::load(weight + i)).store(out + i);
    if (i < n)
        (V::load_n(x + i, n - i, 0.0F) * scale * V::load_n(weight + i, n - i, 0.0F))
            .store_n(out + i, n - i);
}

template <class V>
void layer_norm(const float* x, const float* weight, const float* bias, Index n, float eps,
                float* out) {
    constexpr Index w = V::width;
    V total = V::set(0.0F);
    for (Index i = 0; i < n; i += w) total = total + V::load_n(x + i, n - i < w ? n - i : w, 0.0F);
    const float middle = V::sum(total) / static_cast<float>(n);
    const V mean = V::set(middle);
    V squares = V::set(0.0F);
    for (Index i = 0; i < n; i += w) {
        const V d = V::load_n(x + i, n - i < w ? n - i : w, middle) - mean;
        squares = V::fmadd(d, d, squares);
    }
    const float variance = V::sum(squares) / static_cast<float>(n);
    const V scale = V::set(1.0F / __builtin_sqrtf(variance + eps));
    const V zero = V::set(0.0F);
    for (Index i = 0; i < n; i += w) {
        const Index m = n - i < w ? n - i : w;
        const V y = (V::load_n(x + i, m, 0.0F) - mean) * scale * V::load_n(weight + i, m, 0.0F);
        (y + (bias != nullptr ? V::load_n(bias + i, m, 0.0F) : zero)).store_n(out + i, m);
    }
}

template <class V>
void rotate(float* x, const float* cosine, const float* sine, Index half) {
    constexpr Index w = V::width;
    for (Index i = 0; i < half; i += w) {
        const Index m = half - i < w ? half - i : w;
        const V a = V::load_n(x + i, m, 0.0F);
        const V b = V::load_n(x + half + i, m, 0.0F);
        const V c = V::load_n(cosine + i, m, 0.0F);
        const V s = V::load_n(sine + i, m, 0.0F);
        (a * c - b * s).store_n(x + i, m);
        (b * c + a * s).store_n(x + half + i, m);
    }
}

template <class V>
void delta_step(float* state, Index keys, Index columns, const float* key, const float* query,
                const float* value, float decay, float write, float* out) {
    constexpr Index w = V::width;
    constexpr Index chains = 4;  // one alone is bound by the latency of fmadd
    const V g = V::set(decay);
    for (Index c = 0; c < columns; c += w) {
        const Index m = columns - c < w ? columns - c : w;
        const auto load = [m](const float* p) {
            return m == w ? V::load(p) : V::load_n(p, m, 0.0F);
        };
        V sums[chains];
        for (V& sum : sums) sum = V::set(0.0F);
        Index i = 0;
        for (; i + chains <= keys; i += chains)
            for (Index j = 0; j < chains; ++j)
                sums[j] =
                    V::fmadd(load(state + (i + j) * columns + c), V::set(key[i + j]), sums[j]);
        for (; i < keys; ++i)
            sums[0] = V::fmadd(load(state + i * columns + c), V::set(key[i]), sums[0]);
        const V held = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        const V change = (load(value + c) - g * held) * V::set(write);

        for (V& sum : sums) sum = V::set(0.0F);
        const auto update = [&](Index at, V& sum) {
            float* const p = state + at * columns + c;
            const V s = V::fmadd(V::set(key[at]), change, g * load(p));
            if (m == w)
                s.store(p);
            else
                s.store_n(p, m);
            sum = V::fmadd(s, V::set(query[at]), sum);
        };
        for (i = 0; i + chains <= keys; i += chains)
            for (Index j = 0; j < chains; ++j) update(i + j, sums[j]);
        for (; i < keys; ++i) update(i, sums[0]);
        const V o = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        if (m == w)
            o.store(out + c);
        else
            o.store_n(out + c, m);
    }
}

// The table; rounding to bf16 is written for each instruction set.
template <class V>
constexpr Kernels table(void (*to_bf16)(const float* x, Index n, BFloat16* out)) {
    return {.max = max<V>,
            .exp_sum = exp_sum<V>,
            .exp_in_place = exp_in_place<V>,
            .kl_sums = kl_sums<V>,
            .activate = {activate<V, Silu>, activate<V, Gelu>, activate<V, GeluTanh>,
                         activate<V, ReluSquared>, activate<V, ClampedSwiglu>},
            .sigmoid_mul = sigmoid_mul<V>,
            .softcap = softcap<V>,
            .rms_norm = rms_norm<V>,
            .layer_norm = layer_norm<V>,
            .rotate = rotate<V>,
            .to_bf16 = to_bf16,
            .delta_step = delta_step<V>};
}

}  // namespace vq::kernels_detail
