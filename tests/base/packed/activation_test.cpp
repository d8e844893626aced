// SPDX-License-Identifier: Apache-2.0
// What happens to activations around a product is the same on every instruction set, bit for bit.
#include <gtest/gtest.h>

#include "base/hadamard.h"
#include "base/packed/activation.h"
#include "base/rng.h"
#include "decode/rotation.h"
#include "tests/decode/kernel_tables.h"

namespace vq::decode {
namespace {

std::vector<float> normal(Index n) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i)
        x[static_cast<std::size_t>(i)] =
            static_cast<float>(random_normal(5, static_cast<std::uint64_t>(i)));
    return x;
}

TEST(Activation, HadamardEqualsTheReference) {
    for (const Index n : {1,  2,   8,   16,   32, 64,  128, 1024, 12, 24,  96,  192,  384, 1536,
                          20, 160, 320, 2560, 28, 112, 448, 1792, 36, 288, 576, 1152, 9216})
        for (const bool transpose : {false, true}) {
            std::vector<float> want = normal(n);
            std::vector<float> scratch(static_cast<std::size_t>(n));
            hadamard_block(want.data(), n, transpose, scratch.data());
            for (const Kernels* kernels : test::kernel_tables()) {
                std::vector<float> got = normal(n);
                kernels->hadamard(got.data(), n, transpose, scratch.data());
                ASSERT_EQ(got, want) << kernels->name << " " << n;
            }
        }
}

TEST(Activation, SignsAreThoseOfTheSeed) {
    for (const Index n : {1, 7, 16, 63, 64, 65, 200}) {
        const std::vector<std::uint64_t> bits = sign_bits(77, n);
        const std::vector<float> x = normal(n);
        for (const Kernels* kernels : test::kernel_tables()) {
            std::vector<float> got(static_cast<std::size_t>(n + 1), 3.0F);
            kernels->flip_signs(bits.data(), x.data(), n, got.data());
            for (Index i = 0; i < n; ++i)
                ASSERT_EQ(
                    got[static_cast<std::size_t>(i)],
                    x[static_cast<std::size_t>(i)] * random_sign(77, static_cast<std::uint64_t>(i)))
                    << kernels->name;
            ASSERT_EQ(got.back(), 3.0F) << "one value too many";
        }
    }
}

TEST(Activation, BytesEqualTheReference) {
    for (const Index n : {1, 2, 15, 16, 17, 127, 128, 129, 250, 576}) {
        struct Rounded {
            std::vector<std::uint32_t> pairs;
            std::vector<std::int8_t> bytes;
            std::vector<float> scales;
            std::vector<std::int32_t> sums;
        };
        const Index padded = (n + byte_padding - 1) / byte_padding * byte_padding;
        const Index groups = (n + activation_group - 1) / activation_group;
        const auto run = [&](const Kernels& kernels) {
            Rounded r{std::vector<std::uint32_t>(static_cast<std::size_t>(padded / 2)),
                      std::vector<std::int8_t>(static_cast<std::size_t>(padded), 55),
                      std::vector<float>(static_cast<std::size_t>(groups)),
                      std::vector<std::int32_t>(static_cast<std::size_t>(groups))};
            const std::vector<float> x = normal(n);
            kernels.quantize(x.data(), n,
                             {r.pairs.data(), r.bytes.data(), r.scales.data(), r.sums.data()});
            r.pairs.resize(static_cast<std::size_t>((n + 1) / 2));  // no more is promised
            return r;
        };
        const Rounded want = run(kernels_scalar);
        for (const Kernels* kernels : test::kernel_tables()) {
            const Rounded got = run(*kernels);
            ASSERT_EQ(got.pairs, want.pairs) << kernels->name << " " << n;
            ASSERT_EQ(got.bytes, want.bytes) << kernels->name << " " << n;
            ASSERT_EQ(got.scales, want.scales) << kernels->name << " " << n;
            ASSERT_EQ(got.sums, want.sums) << kernels->name << " " << n;
        }
    }
}

}  // namespace
}  // namespace vq::decode
