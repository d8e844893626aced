// SPDX-License-Identifier: Apache-2.0
// The Viterbi kernel, written once for every instruction set. Included only by
// viterbi_kernel_<isa>.cpp, inside an unnamed namespace and with nothing from the standard library,
// so that no code for one instruction set can be linked into another's callers.
//
// `Simd` supplies V, a vector of `lanes` unsigned 16-bit integers, and Bits, one bit a lane.
// Arithmetic is 4 instructions a vector of states (expand, subtract, square, add) and 2 a vector of
// predecessors (compare, minimum), so that what limits a step is L2: metrics and values are 128 KB
// each. Two steps are therefore taken at once: with s = (h1, h2, r), h1 and h2 of K bits,
//     m1[h2, r] = min_h1 M[h1, h2, r],         M1[h2, r, b1] = m1[h2, r] + cost1(h2, r, b1),
//     m2[r, b1] = min_h2 M1[h2, r, b1],        M2[r, b1, b2] = m2[r, b1] + cost2(r, b1, b2),
// where M1 of 2^K vectors of m1 never leaves the registers.
#pragma once

/// The minimum of a[0 .. 2^K - 1], lane by lane, and the bits of the first one that has it.
template <class Simd, int K>
[[gnu::always_inline]] inline typename Simd::V least_of(typename Simd::V (&a)[1 << K],
                                                        typename Simd::Bits (&h)[std::size_t{K}]) {
    using Bits = typename Simd::Bits;
    Bits chosen[1 << K][std::size_t{K}];  // [i][k]: bit k of the winner of the subtree under i
#pragma GCC unroll 4
    for (int level = 0; level < K; ++level) {
#pragma GCC unroll 16
        for (int i = 0; i < 1 << K; i += 2 << level) {
            const int j = i + (1 << level);
            const Bits right = Simd::less(a[j], a[i]);
#pragma GCC unroll 4
            for (int k = 0; k < level; ++k)
                chosen[i][k] = static_cast<Bits>((chosen[j][k] & right) |
                                                 (chosen[i][k] & static_cast<Bits>(~right)));
            chosen[i][level] = right;
            a[i] = Simd::min(a[i], a[j]);
        }
    }
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) h[k] = chosen[0][k];
    return a[0];
}

template <class Simd, int K>
struct Trellis {
    using V = typename Simd::V;
    using Bits = typename Simd::Bits;
    static constexpr int branches = 1 << K;
    static constexpr int groups = trellis_states >> K;
    static constexpr int lanes = Simd::lanes;
    static constexpr int plane_bits = groups / lanes;  ///< of Bits in a bit plane of a step
    static constexpr int plane_words = groups / 32;    ///< the same in 32-bit words

    /// m + (x - value)^2 for the `lanes` states from `state`; m is that of their groups' vector,
    /// of which they are the j-th part.
    [[gnu::always_inline]] static V extended(V m, int j, V x, const std::int16_t* values,
                                             int state) {
        const V d = Simd::subtract_signed(x, Simd::load(values + state));
        return Simd::add(Simd::template expand<K>(m, j), Simd::square(d));
    }

    [[gnu::always_inline]] static void extend(V m, V x, int g, const std::int16_t* values,
                                              std::uint16_t* metric) {
#pragma GCC unroll 16
        for (int j = 0; j < branches; ++j) {
            const int state = (g << K) + j * lanes;
            Simd::store(metric + state, extended(m, j, x, values, state));
        }
    }

    [[gnu::always_inline]] static void keep(const Bits (&h)[std::size_t{K}], Bits* decisions,
                                            int g) {
#pragma GCC unroll 4
        for (int k = 0; k < K; ++k) decisions[k * plane_bits + g / lanes] = h[k];
    }

    /// The first step: no predecessors to compare.
    static void start(V x, const std::int16_t* values, int overlap, std::uint16_t* to) {
        for (int g = 0; g < groups; g += lanes) {
            // With an overlap one group is free to start in; sums saturate, so that no other ever
            // catches up.
            V m = Simd::splat(overlap < 0 ? 0 : 0xFFFF);
            if (overlap >= g && overlap < g + lanes) m = Simd::zero_at(overlap - g);
            extend(m, x, g, values, to);
        }
    }

    static void one_step(V x, const std::int16_t* values, const std::uint16_t* from,
                         std::uint16_t* to, Bits* decisions) {
        for (int g = 0; g < groups; g += lanes) {
            V m[std::size_t{branches}];
            Bits h[std::size_t{K}];
#pragma GCC unroll 16
            for (int i = 0; i < branches; ++i) m[i] = Simd::load(from + i * groups + g);
            extend(least_of<Simd, K>(m, h), x, g, values, to);
            keep(h, decisions, g);
        }
    }

    /// Two steps; the metrics are lowered by `taken` in between. Returns the least m2.
    static std::uint16_t two_steps(V x1, V x2, std::uint16_t taken_before,
                                   const std::int16_t* values, const std::uint16_t* from,
                                   std::uint16_t* to, Bits* decisions1, Bits* decisions2) {
        constexpr int rest = groups >> K;  // values of r
        static_assert(rest % lanes == 0);
        const V taken = Simd::splat(taken_before);
        V least = Simd::splat(0xFFFF);
        for (int r = 0; r < rest; r += lanes) {
            V m1[std::size_t{branches}];
#pragma GCC unroll 16
            for (int h2 = 0; h2 < branches; ++h2) {
                V m[std::size_t{branches}];
                Bits h[std::size_t{K}];
#pragma GCC unroll 16
                for (int h1 = 0; h1 < branches; ++h1)
                    m[h1] = Simd::load(from + (h1 * branches + h2) * rest + r);
                m1[h2] = Simd::subtract(least_of<Simd, K>(m, h), taken);
                keep(h, decisions1, h2 * rest + r);
            }
#pragma GCC unroll 16
            for (int j = 0; j < branches; ++j) {
                V m[std::size_t{branches}];
                Bits h[std::size_t{K}];
                const int g = (r << K) + j * lanes;
#pragma GCC unroll 16
                for (int h2 = 0; h2 < branches; ++h2)
                    m[h2] = extended(m1[h2], j, x1, values, h2 * groups + g);
                const V m2 = least_of<Simd, K>(m, h);
                least = Simd::min(least, m2);
                keep(h, decisions2, g);
                extend(m2, x2, g, values, to);
            }
        }
        return Simd::least(least);
    }

    static void search(const std::int16_t* x, int steps, const std::int16_t* values, int overlap,
                       const ViterbiBuffers& buffers, std::uint16_t* states) {
        std::uint16_t* from = buffers.metric[0];
        std::uint16_t* to = buffers.metric[1];
        const auto splat_x = [&](int t) { return Simd::splat(static_cast<std::uint16_t>(x[t])); };
        const auto decisions = [&](int t) {
            return reinterpret_cast<Bits*>(buffers.decisions + t * K * plane_words);
        };
        const auto turn = [&] {
            std::uint16_t* swap = from;
            from = to;
            to = swap;
        };
        start(splat_x(0), values, overlap, to);
        int t = 1;
        // The first step is taken; an odd rest is made even before steps are taken in pairs.
        if (steps % 2 == 0) {
            turn();
            one_step(splat_x(t), values, from, to, decisions(t));
            ++t;
        }
        // The least metric is taken away one pair of steps later, when it is known.
        std::uint16_t least = 0;
        for (; t < steps; t += 2) {
            turn();
            least = two_steps(splat_x(t), splat_x(t + 1), least, values, from, to, decisions(t),
                              decisions(t + 1));
        }
        // Open: the best of all states. Tail-biting: the best that ends in the overlap it began
        // with.
        std::uint32_t s = 0;
        if (overlap < 0) {
            for (std::uint32_t i = 1; i < trellis_states; ++i)
                if (to[i] < to[s]) s = i;
        } else {
            s = static_cast<std::uint32_t>(overlap);
            for (std::uint32_t h = 1; h < branches; ++h) {
                const std::uint32_t i =
                    (h << (trellis_state_bits - K)) | static_cast<std::uint32_t>(overlap);
                if (to[i] < to[s]) s = i;
            }
        }
        for (t = steps - 1;; --t) {
            states[t] = static_cast<std::uint16_t>(s);
            if (t == 0) break;
            const std::uint32_t g = s >> K;
            const std::uint32_t* bits = buffers.decisions + t * K * plane_words;
            std::uint32_t h = 0;
            for (int k = 0; k < K; ++k)
                h |= (bits[k * plane_words + static_cast<int>(g >> 5)] >> (g & 31) & 1u) << k;
            s = (h << (trellis_state_bits - K)) | g;
        }
    }
};
