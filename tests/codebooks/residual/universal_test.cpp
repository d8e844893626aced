// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/universal.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "base/rng.h"

namespace vq {
namespace {

/// Relative MSE on Gaussian vectors that no codebook was trained on.
double held_out(const Code& code) {
    const Index n = 4000;
    const Index d = code.dim();
    Matrix x(n, d);
    for (Index i = 0; i < x.size(); ++i)
        x.data()[i] = static_cast<float>(random_normal(777, static_cast<std::uint64_t>(i)));
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(n));
    Matrix xhat(n, d);
    code.encode(x.data(), n, nullptr, codes.data(), xhat.data());
    return (x - xhat).squaredNorm() / x.squaredNorm();
}

TEST(Universal, EveryShippedCodebookLoadsAndBeatsTheScalarGridAtItsRate) {
    ASSERT_FALSE(universal_names().empty());
    for (const std::string& name : universal_names()) {
        std::stringstream text(name.substr(std::string("gauss_d").size()));
        std::vector<int> numbers;
        for (std::string part; std::getline(text, part, '_');) numbers.push_back(std::stoi(part));
        const std::vector<int> bits(numbers.begin() + 1, numbers.end());
        const auto code = universal_code(numbers[0], bits, 16);
        EXPECT_EQ(universal_name(code->dim(), bits), name);
        const double rate = static_cast<double>(code->bits()) / code->dim();
        const double mse = held_out(*code);
        // Lloyd-Max at 2 bits is .1175; Shannon's bound is 2^-2R. d = 1 sits at Lloyd-Max.
        EXPECT_GT(mse, std::exp2(-2 * rate)) << name;
        EXPECT_LT(mse, (code->dim() == 1 ? 2.75 : 2.0) * std::exp2(-2 * rate)) << name;
    }
}

// The yardsticks of the field at 2.0 bits: additive 2x8 by exhaustive search .0924, residual .1061.
TEST(Universal, TwoStagesOfEightBitsReachAdditiveQuality) {
    const std::vector<int> bits = {8, 8};
    EXPECT_LT(held_out(*universal_code(8, bits, 16)),
              0.0945);  // .0924 + 2 standard errors of 4000 vectors
}

TEST(Universal, WhatIsNotShippedIsRefusedWithAList) {
    const std::vector<int> bits = {3, 5};
    try {
        universal_code(8, bits, 16);
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("gauss_d8_9_9"), std::string::npos);
    }
}

}  // namespace
}  // namespace vq
