// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/code_use.h"

#include <gtest/gtest.h>

#include "base/bits.h"
#include "lattice/e8p/e8p_code.h"
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
              {"along", "inputs"},
              {"scale", "tensor"},
              {"segments", Json::array({{{"cols", 8}, {"dim", 2}, {"stage_bits", {2, 3}}}})}};
    t.arrays["codes"] = Array::from_u8(pack_bits(codes, 5));
    const std::vector<float> words(24, 1.0F);
    t.arrays["codebooks"] = Array::from_f16({12, 2}, words.data());
    t.arrays["row_scale"] = Array::from_f32({1}, words.data());
    return t;
}

std::vector<StageUse> use_of(const StoredTensor& t) {
    return code_use(parse_stored(t, test::no_shared).coded);
}

TEST(CodeUse, CountsEveryStageByItself) {
    const std::vector<StageUse> stages = use_of(tensor());
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
    Segment s;
    s.cols = 8;
    s.code = std::make_shared<E8pCode>(std::vector<int>{16}, 1);
    EXPECT_TRUE(code_use(CodedTensor(8, 8, Along::inputs, {}, {s})).empty());
}

TEST(CodeUse, DamageIsAnErrorThatNamesTheTensor) {
    const StoredTensor good = tensor();
    const auto expect_error = [&](const auto& damage) {
        test::expect_named_error(good, damage, [](const StoredTensor& t) { use_of(t); });
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
