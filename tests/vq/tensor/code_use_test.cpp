// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/code_use.h"

#include <gtest/gtest.h>

#include "base/bits.h"
#include "tests/vq/stored_fixture.h"

namespace vq {
namespace {

/// 8 rows of 8 columns, vectors of 2, codes of 2 + 3 bits: index i has stages i mod 4 and 5.
StoredTensor tensor() {
    std::vector<std::uint64_t> codes(32);
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = i % 4 + (5U << 2);
    StoredTensor t;
    t.name = "layer.w";
    t.shape = {8, 8};
    t.spec = {{"code", "residual"},
              {"padded_rows", 8},
              {"padded_cols", 8},
              {"segments", Json::array({{{"cols", 8}, {"dim", 2}, {"stage_bits", {2, 3}}}})}};
    t.arrays["codes"] = Array::from_u8(pack_bits(codes, 5));
    return t;
}

TEST(CodeUse, CountsEveryStageByItself) {
    const std::vector<StageUse> stages = code_use(tensor());
    ASSERT_EQ(stages.size(), 2U);
    EXPECT_EQ(stages[0].bits, 2);
    EXPECT_DOUBLE_EQ(stages[0].entropy, 2.0);
    EXPECT_EQ(stages[0].used, 4);
    EXPECT_EQ(stages[1].bits, 3);
    EXPECT_DOUBLE_EQ(stages[1].entropy, 0.0);
    EXPECT_EQ(stages[1].used, 1);
    EXPECT_EQ(stages[1].words, 8);
    EXPECT_EQ(stages[1].codes, 32);
}

TEST(CodeUse, ComputedCodesHaveNoWordsToCount) {
    StoredTensor t = tensor();
    t.spec["code"] = "trellis";
    EXPECT_TRUE(code_use(t).empty());
}

TEST(CodeUse, DamageIsAnErrorThatNamesTheTensor) {
    const StoredTensor good = tensor();
    const auto expect_error = [&](const auto& damage) {
        test::expect_named_error(good, damage, [](const StoredTensor& t) { code_use(t); });
    };
    expect_error([](StoredTensor& t) { t.arrays.clear(); });
    expect_error([](StoredTensor& t) { t.arrays["codes"].bytes.pop_back(); });
    expect_error([](StoredTensor& t) { t.spec["padded_rows"] = 1LL << 60; });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["cols"] = -8; });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["stage_bits"] = {40}; });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["stage_bits"] = Json::array(); });
    expect_error([](StoredTensor& t) { t.spec["segments"] = 3; });
    expect_error([](StoredTensor& t) {  // codes x bits would wrap around
        t.spec["padded_rows"] = 1LL << 31;
        t.spec["segments"][0]["cols"] = 1LL << 31;
        t.spec["segments"][0]["dim"] = 1;
        t.spec["segments"][0]["stage_bits"] = {16, 16, 16, 16};
    });
}

}  // namespace
}  // namespace vq
