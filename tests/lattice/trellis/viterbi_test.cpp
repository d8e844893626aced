// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/viterbi.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "lattice/trellis/trellis_function.h"
#include "lattice/trellis/viterbi_kernel.h"

namespace vq {
namespace {

std::vector<float> gaussian(int n, std::uint64_t seed) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i)
        x[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return x;
}

std::vector<float> values_of(int bits) {
    std::vector<float> values(trellis_states);
    for (int s = 0; s < trellis_states; ++s)
        values[s] =
            trellis_gain(bits) * static_cast<float>(trellis_integer(static_cast<std::uint16_t>(s),
                                                                    trellis_multiplier(bits)));
    return values;
}

double cost(const std::vector<float>& x, const std::vector<std::uint16_t>& states,
            const std::vector<float>& values) {
    double sum = 0;
    for (std::size_t t = 0; t < x.size(); ++t) {
        const double d = static_cast<double>(x[t]) - values[states[t]];
        sum += d * d;
    }
    return sum;
}

/// Every state follows from the one before it, the first one from the last.
void expect_tail_biting(const std::vector<std::uint16_t>& states, int bits) {
    std::uint32_t before = states.back();
    for (const std::uint16_t s : states) {
        ASSERT_EQ(s >> bits, before & ((1u << (16 - bits)) - 1));
        before = s;
    }
}

TEST(Viterbi, EveryInstructionSetFindsTheSamePath) {
    for (int bits = 1; bits <= 4; ++bits) {
        const std::vector<float> values = values_of(bits);
        for (const int steps : {16, 17, 33, 64}) {
            std::vector<float> x =
                gaussian(steps, std::uint64_t{100} * static_cast<std::uint64_t>(bits) +
                                    static_cast<std::uint64_t>(steps));
            x[3] = 40.0F;  // saturates
            std::vector<std::vector<std::uint16_t>> found;
            for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
                if (isa > detect_isa()) continue;
                const Viterbi viterbi(values, bits, isa);
                ViterbiWorkspace workspace;
                found.emplace_back(x.size());
                viterbi.encode(x.data(), steps, 16, workspace, found.back().data());
                expect_tail_biting(found.back(), bits);
            }
            for (const auto& states : found) EXPECT_EQ(states, found.front()) << bits << " bits";
        }
    }
}

/// All paths of a short sequence whose seam is given: (16 - K) bits are fixed, the rest are tried.
double exhaustive(const std::vector<float>& x, int bits, std::uint32_t overlap,
                  const std::vector<float>& values) {
    const int steps = static_cast<int>(x.size());
    const int free = steps * bits - (trellis_state_bits - bits);
    double best = std::numeric_limits<double>::infinity();
    for (std::uint32_t chosen = 0; chosen < 1u << free; ++chosen) {
        // Bits in the order in which they enter; the last 16 - K are the overlap.
        const std::uint64_t stream =
            (static_cast<std::uint64_t>(chosen) << (trellis_state_bits - bits)) | overlap;
        std::uint32_t state = overlap;
        double sum = 0;
        for (int t = 0; t < steps; ++t) {
            const auto entering = static_cast<std::uint32_t>(stream >> (bits * (steps - 1 - t)));
            state = (state << bits | (entering & ((1u << bits) - 1))) & 0xFFFF;
            const double d = static_cast<double>(x[t]) - values[state];
            sum += d * d;
        }
        best = std::min(best, sum);
    }
    return best;
}

TEST(Viterbi, FindsTheBestPathOfAShortSequence) {
    for (int bits = 1; bits <= 4; ++bits) {
        const std::vector<float> values = values_of(bits);
        const Viterbi viterbi(values, bits);
        ViterbiWorkspace workspace;
        const int steps = (trellis_state_bits - bits + 12) / bits;  // at most 12 free bits
        for (std::uint64_t seed = 0; seed < 8; ++seed) {
            const std::vector<float> x = gaussian(steps, seed);
            const auto overlap =
                static_cast<std::uint32_t>(random_bits(seed, 5) & ((1u << (16 - bits)) - 1));
            std::vector<std::uint16_t> states(x.size());
            viterbi.encode_with_overlap(x.data(), steps, static_cast<int>(overlap), workspace,
                                        states.data());
            expect_tail_biting(states, bits);
            const double best = exhaustive(x, bits, overlap, values);
            // A step's cost is rounded to 2^-12; x and values to 2^-14, times twice a distance < 4.
            const double rounding = steps * (0x1p-12 + 2 * 4 * 0x1p-13);
            EXPECT_LE(cost(x, states, values), best + 2 * rounding) << bits << " bits";
            EXPECT_GE(cost(x, states, values), best - 1e-9);
        }
    }
}

TEST(Viterbi, AWiderTailIsBetterOnAverage) {
    const std::vector<float> values = values_of(2);
    const Viterbi viterbi(values, 2);
    ViterbiWorkspace workspace;
    double narrow = 0;
    double wide = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const std::vector<float> x = gaussian(128, seed);
        std::vector<std::uint16_t> states(x.size());
        viterbi.encode(x.data(), 128, 8, workspace, states.data());
        narrow += cost(x, states, values);
        viterbi.encode(x.data(), 128, 64, workspace, states.data());
        wide += cost(x, states, values);
    }
    EXPECT_LT(wide, narrow);
}

TEST(Viterbi, ValuesThatDoNotFitTheFixedPointAreRefused) {
    std::vector<float> values = values_of(2);
    values[17] = 5.0F;
    EXPECT_THROW(Viterbi(values, 2), InternalError);
}

}  // namespace
}  // namespace vq
