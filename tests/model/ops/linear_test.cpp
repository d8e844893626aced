// SPDX-License-Identifier: Apache-2.0
#include "model/ops/linear.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using test::random_matrix;

struct Shape {
    Index tokens;
    Index in;
    std::vector<Index> outs;
};

const Shape shapes[] = {{1, 5, {3}},
                        {7, 33, {40, 1, 24}},
                        {129, 64, {513}},
                        {300, 70, {600, 90}},
                        {128, 16, {512, 512, 7}}};

Vector random_bias(Index n) {
    return random_matrix(1, n, 1.0, 77).row(0).transpose();
}

// Checks y against the double product; rounding an operand to bf16 is off by up to 2^-8 of it.
void expect_product(const Shape& shape, Precision precision, bool with_bias, double relative) {
    std::vector<Matrix> parts;
    std::vector<const Matrix*> pointers;
    Index out = 0;
    for (const Index n : shape.outs) {
        parts.push_back(random_matrix(n, shape.in, 1.0, static_cast<std::uint64_t>(n) + 5));
        out += n;
    }
    pointers.reserve(parts.size());
    for (const Matrix& part : parts) pointers.push_back(&part);
    const Vector bias = with_bias ? random_bias(out) : Vector();
    const Linear linear(pointers, bias, precision);
    ASSERT_EQ(linear.in(), shape.in);
    ASSERT_EQ(linear.out(), out);
    const Matrix x = random_matrix(shape.tokens, shape.in, 1.0, 3);
    Matrix y = Matrix::Constant(shape.tokens, out, 99.0F);
    ScratchPool scratch;
    linear.apply(x.data(), shape.tokens, y.data(), scratch);
    Index row = 0;
    for (const Matrix& part : parts) {
        for (Index j = 0; j < part.rows(); ++j, ++row)
            for (Index t = 0; t < shape.tokens; ++t) {
                const auto terms = x.row(t).cast<double>().cwiseProduct(part.row(j).cast<double>());
                const double b = with_bias ? static_cast<double>(bias[row]) : 0.0;
                const double slack = relative * (terms.cwiseAbs().sum() + std::abs(b));
                ASSERT_NEAR(y(t, row), terms.sum() + b, slack) << "row " << row << " token " << t;
            }
    }
}

TEST(Linear, Fp32EqualsTheDoubleProductForAwkwardShapesAndStackedWeights) {
    for (const Shape& shape : shapes)
        for (const bool bias : {false, true})
            expect_product(shape, Precision::fp32, bias,
                           0x1.0p-24 * (static_cast<double>(shape.in) + 2));
}

TEST(Linear, Bf16StaysWithinTheRoundingOfItsOperands) {
    for (const Shape& shape : shapes)
        for (const bool bias : {false, true})
            expect_product(
                shape, Precision::bf16, bias,
                2 * 0x1.0p-8 + 0x1.0p-16 + 0x1.0p-24 * (static_cast<double>(shape.in) + 2));
}

TEST(Linear, SameBitsAtAnyNumberOfThreads) {
    const Matrix w = random_matrix(1100, 256, 1.0, 1);
    const Matrix x = random_matrix(300, 256, 1.0, 2);
    const Matrix* weight = &w;
    for (const Precision precision : {Precision::fp32, Precision::bf16})
        for (const Index tokens : {Index{1}, Index{300}}) {
            Matrix results[3];
            for (int threads = 1; threads <= 3; ++threads) {
                const test::Threads scope(threads);
                const Linear linear(std::span(&weight, 1), Vector(), precision);
                ScratchPool scratch;
                results[threads - 1].resize(tokens, 1100);
                linear.apply(x.data(), tokens, results[threads - 1].data(), scratch);
            }
            EXPECT_EQ(results[0], results[1]) << precision_name(precision) << " " << tokens;
            EXPECT_EQ(results[0], results[2]) << precision_name(precision) << " " << tokens;
        }
}

TEST(Linear, BlocksCoverAllRowsOnce) {
    for (const Index out : {1, 63, 512, 513, 576, 960, 49152}) {
        const Matrix w = Matrix::Zero(out, 2);
        const Matrix* weight = &w;
        const Linear linear(std::span(&weight, 1), Vector(), Precision::fp32);
        Index at = 0;
        for (Index b = 0; b < linear.blocks(); ++b) {
            EXPECT_EQ(linear.block_begin(b), at);
            EXPECT_GT(linear.block_end(b), at);
            EXPECT_LE(linear.block_end(b) - at, linear.widest_block());
            at = linear.block_end(b);
        }
        EXPECT_EQ(at, out);
    }
}

TEST(Linear, PrecisionNamesRoundTripAndOthersAreRefused) {
    for (const Precision p : {Precision::fp32, Precision::bf16})
        EXPECT_EQ(parse_precision(precision_name(p)), p);
    EXPECT_THROW(parse_precision("fp16"), Error);
}

}  // namespace
}  // namespace vq
