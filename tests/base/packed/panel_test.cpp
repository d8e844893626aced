// SPDX-License-Identifier: Apache-2.0
// The kernel of batches gives the same bits on every instruction set, for all widths of a panel and
// numbers of vectors, also where what it reads and writes is not aligned.
#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"
#include "tests/decode/emulated_tiles.h"
#include "tests/decode/kernel_tables.h"

namespace vq::decode {
namespace {

constexpr Index token_quads = activation_group / 4;

/// A panel and its inputs, one quad past an aligned address. Bytes beyond the panel's quads are not
/// zero: they must not count.
struct Case {
    explicit Case(Index tokens)
        : weights(static_cast<std::size_t>(4 * (token_quads * panel_rows + 1))),
          row_scales(panel_rows + 1),
          quads(static_cast<std::size_t>(tokens * token_quads + 1)),
          scales(static_cast<std::size_t>(tokens)),
          sums(static_cast<std::size_t>(tokens)) {
        std::uint64_t i = 0;
        for (auto& v : weights) v = static_cast<std::uint8_t>(random_bits(1, i++));
        for (auto& v : row_scales) v = static_cast<float>(random_normal(2, i++));
        for (auto& v : quads) v = static_cast<std::uint32_t>(random_bits(3, i++));
        for (auto& v : scales) v = static_cast<float>(random_normal(4, i++));
        for (auto& v : sums) v = static_cast<std::int32_t>(random_bits(5, i++) % 4096) - 2048;
    }
    std::vector<float> product(const Kernels& kernels, Index width, Index tokens) const {
        constexpr Index stride = panel_rows + 3;
        std::vector<float> y(static_cast<std::size_t>(tokens * stride + 1));
        for (std::size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i % 7);
        kernels.panel({weights.data() + 4, row_scales.data() + 1},
                      {quads.data() + 1, scales.data(), sums.data()}, width, tokens, y.data() + 1,
                      stride);
        return y;
    }
    std::vector<std::uint8_t> weights;
    std::vector<float> row_scales;
    std::vector<std::uint32_t> quads;
    std::vector<float> scales;
    std::vector<std::int32_t> sums;
};

void expect_reference(const Kernels& kernels) {
    for (const Index tokens : {1, 2, 5, 6, 7, 15, 16, 17, 31, 32, 33, 47, 48, 61, 64, 95}) {
        const Case c(tokens);
        for (const Index width : {1, 7, 8, 15, 16, 17, 23, 31, 32})
            ASSERT_EQ(c.product(kernels, width, tokens), c.product(kernels_scalar, width, tokens))
                << kernels.name << ": " << tokens << " vectors, " << width << " quads";
    }
}

TEST(Panel, EqualsTheReference) {
    for (const Kernels* kernels : test::kernel_tables()) expect_reference(*kernels);
}

TEST(Panel, EqualsTheReferenceOnEmulatedTiles) {
    if (!has_avx512_vnni()) GTEST_SKIP() << "the rest of the kernel needs AVX-512 with VNNI";
    const test::EmulatedTiles tiles;
    expect_reference(kernels_amx());
    if (detect_isa() < Isa::amx) {
        EXPECT_GT(test::EmulatedTiles::instructions(), 1000);
    }
}

}  // namespace
}  // namespace vq::decode
