// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/viterbi_kernel.h"

namespace vq {

namespace {

#include "lattice/trellis/viterbi_kernel_simd.h"

/// One vector of 32 lanes in plain integers, each operation as the instruction rounds and
/// saturates.
struct Scalar {
    static constexpr int lanes = 32;
    struct V {
        std::uint16_t lane[lanes];
    };
    using Bits = std::uint32_t;

    template <class F>
    static V each(const F& f) {
        V out;
        for (int i = 0; i < lanes; ++i) out.lane[i] = static_cast<std::uint16_t>(f(i));
        return out;
    }
    static V load(const std::uint16_t* p) {
        return each([&](int i) { return p[i]; });
    }
    static V load(const std::int16_t* p) {
        return each([&](int i) { return p[i]; });
    }
    static void store(std::uint16_t* p, const V& v) {
        for (int i = 0; i < lanes; ++i) p[i] = v.lane[i];
    }
    static V splat(std::uint16_t v) {
        return each([&](int) { return v; });
    }
    static V zero_at(int lane) {
        return each([&](int i) { return i == lane ? 0 : 0xFFFF; });
    }
    static V min(const V& a, const V& b) {
        return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static Bits less(const V& a, const V& b) {
        Bits out = 0;
        for (int i = 0; i < lanes; ++i) out |= Bits{a.lane[i] < b.lane[i]} << i;
        return out;
    }
    static V add(const V& a, const V& b) {
        return each([&](int i) {
            const int sum = a.lane[i] + b.lane[i];
            return sum > 0xFFFF ? 0xFFFF : sum;
        });
    }
    static V subtract(const V& a, const V& b) {
        return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] - b.lane[i] : 0; });
    }
    static V subtract_signed(const V& a, const V& b) {
        return each([&](int i) {
            const int d =
                static_cast<std::int16_t>(a.lane[i]) - static_cast<std::int16_t>(b.lane[i]);
            return d > 32767 ? 32767 : d < -32768 ? -32768 : d;
        });
    }
    static V square(const V& d) {
        return each([&](int i) {
            // As vpmulhrsw rounds, so that all kernels find the same path.
            const int x = static_cast<std::int16_t>(d.lane[i]);
            return (x * x + (1 << 14)) >> 15;
        });
    }
    template <int K>
    static V expand(const V& m, int j) {
        return each([&](int i) { return m.lane[(lanes * j + i) >> K]; });
    }
    static std::uint16_t least(const V& v) {
        std::uint16_t out = v.lane[0];
        for (const std::uint16_t x : v.lane) out = x < out ? x : out;
        return out;
    }
};

}  // namespace

const ViterbiKernel viterbi_kernel_scalar = {
    {Trellis<Scalar, 1>::search, Trellis<Scalar, 2>::search, Trellis<Scalar, 3>::search,
     Trellis<Scalar, 4>::search}};

}  // namespace vq
