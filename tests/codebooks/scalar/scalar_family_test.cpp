// SPDX-License-Identifier: Apache-2.0
#include "codebooks/scalar/scalar_family.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace vq {
namespace {

CodeSettings settings() {
    CodeSettings s;
    s.kind = "grid";
    s.dim = 1;
    s.rate = 2;
    return s;
}

TEST(ScalarFamily, RatesEndWhereTheGridOrTheSettingEnds) {
    CodeSettings s = settings();
    EXPECT_EQ(scalar_family.rates(s).least, HalfBits::whole(1));
    const HalfBits most = scalar_family.rates(s).most;
    EXPECT_EQ(most, HalfBits::whole(8));
    s.most_stage_bits = 5;
    EXPECT_EQ(scalar_family.rates(s).most, HalfBits::whole(5));
    EXPECT_EQ(scalar_family.universal(s).size(), 5U);
    EXPECT_EQ(scalar_family.codebook_bits(s), 16.0 * (2 + 4 + 8 + 16 + 32));
}

TEST(ScalarFamily, DistortionsAreThoseOfLloydMax) {
    const std::vector<double> found = scalar_family.distortions(settings(), {});
    // Max, Quantizing for minimum distortion, 1960, table I: 2, 4, 8 and 16 levels.
    const double published[] = {0.3634, 0.1175, 0.03454, 0.009497};
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], published[i], 2e-3 * published[i]);
}

TEST(ScalarFamily, RefusesWhatDoesNotGoTogether) {
    EXPECT_NO_THROW(scalar_family.check(settings()));
    const auto refused = [](auto&& change) {
        CodeSettings s = settings();
        change(s);
        EXPECT_THROW(scalar_family.check(s), Error);
    };
    refused([](CodeSettings& s) { s.rate = 0.5; });
    refused([](CodeSettings& s) { s.rate = 9; });
    refused([](CodeSettings& s) { s.dim = 2; });
    refused([](CodeSettings& s) { s.along = Along::outputs; });
    refused([](CodeSettings& s) { s.scope = CodebookScope::tensor; });
    refused([](CodeSettings& s) { s.outliers = 0.1; });
}

}  // namespace
}  // namespace vq
