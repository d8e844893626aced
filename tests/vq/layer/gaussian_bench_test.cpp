// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/gaussian_bench.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace vq {
namespace {

GaussianBench small(const std::string& code, int bits) {
    GaussianBench bench;
    bench.code = code;
    bench.bits = bits;
    bench.weights = 1 << 17;
    return bench;
}

// The targets at 2 bits, each within twice the standard error of 2^17 weights (0.6%). Shannon's
// bound is .0625.
TEST(GaussianBench, CodesReachTheDistortionThatTheyAreKnownFor) {
    const std::pair<const char*, double> targets[] = {
        {"trellis", 0.0690}, {"e8p", 0.0915}, {"additive", 0.0930}, {"kmeans", 0.0960}};
    for (const auto& [code, target] : targets) {
        const std::vector<GaussianResult> results = gaussian_bench(small(code, 2), {});
        ASSERT_EQ(results.size(), 1u);
        EXPECT_EQ(results[0].code, code);
        EXPECT_EQ(results[0].bits_per_weight, 2.0);
        EXPECT_LT(results[0].rel_mse, 1.012 * target) << code;
        EXPECT_GT(results[0].rel_mse, 0.0625) << code;
        EXPECT_GT(results[0].weights_per_second, 0) << code;
    }
}

TEST(GaussianBench, EveryFamilyHasARowAtEveryRateThatItHas) {
    GaussianBench bench = small("e8p", 0);
    bench.weights = 1 << 12;
    EXPECT_EQ(gaussian_bench(bench, {}).size(), 3u);  // 2, 3 and 4 bits
    bench.code = "scalar";
    const std::vector<GaussianResult> scalar = gaussian_bench(bench, {});
    ASSERT_EQ(scalar.size(), 4u);
    for (std::size_t i = 1; i < scalar.size(); ++i)
        EXPECT_LT(scalar[i].rel_mse, 0.4 * scalar[i - 1].rel_mse);
}

TEST(GaussianBench, UnknownCodesAndRatesAreRefused) {
    EXPECT_THROW(gaussian_bench(small("magic", 2), {}), Error);
    EXPECT_THROW(gaussian_bench(small("e8p", 1), {}), Error);
}

}  // namespace
}  // namespace vq
