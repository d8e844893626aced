// SPDX-License-Identifier: Apache-2.0
// Products with activations rounded to 8 bits: the same bits everywhere, and no larger errors than
// rounding makes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/random_packed.h"
#include "tests/decode/packed_cases.h"
#include "vq/tensor/hadamard.h"

namespace vq {
namespace {

using test::PackedCase;
using test::Reference;

TEST(IntegerProducts, AreTheSameOnEveryInstructionSet) {
    for (const PackedCase& c : test::cases()) {
        if (!c.integer_sums) continue;
        const std::vector<float> x = test::activations(c.tensor.cols, 11);
        std::vector<float> want;
        {
            const test::IsaScope scope("scalar");
            want = test::product(c, x, VQD_INT8);
        }
        for (const std::string& isa : test::isas()) {
            const test::IsaScope scope(isa);
            const std::vector<float> y = test::product(c, x, VQD_INT8);
            for (Index i = 0; i < c.tensor.rows; ++i)
                ASSERT_EQ(y[i], want[i]) << c.name << " " << isa << " row " << i;
        }
    }
}

/// x' = R P D^-1 x, padded.
VectorD transformed(const PackedCase& c, const std::vector<float>& x) {
    const PackedTensor& t = c.tensor;
    Vector v = Eigen::Map<const Vector>(x.data(), t.cols);
    if (!t.column_scale.empty())
        v.array() /= Eigen::Map<const Vector>(t.column_scale.data(), t.cols).array();
    if (!t.permutation.empty()) {
        const Vector before = v;
        for (Index j = 0; j < t.cols; ++j) v(j) = before(t.permutation[j]);
    }
    if (t.rotated_in) RandomHadamard(t.cols, t.seed_in).forward(v.data(), 1, t.cols);
    VectorD out = VectorD::Zero(t.padded_cols);
    out.head(t.cols) = v.cast<double>();
    return out;
}

/// What rounding the values of a grid or of codewords adds at most, squared, over all rows.
double codebook_error(const PackedCase& c, const VectorD& x) {
    if (!c.rounds_codewords) return 0;
    double largest = 0;  // root of the sum of the stages' squares
    for (const auto& stage : c.codebooks) {
        double most = 0;
        for (const float v : stage) most = std::max(most, std::abs(double{v}));
        largest = std::hypot(largest, most);
    }
    double error = 0;
    const Index groups = static_cast<Index>(c.tensor.scales.size()) / c.tensor.padded_rows;
    for (Index r = 0; r < c.tensor.rows; ++r)
        for (Index j = 0; j < x.size(); ++j) {
            const Index g = c.tensor.scale_group > 0 ? j / c.tensor.scale_group : 0;
            const Index at = c.tensor.scales.size() == 1 ? 0 : r * groups + g;
            error += std::pow(largest / 127 * c.tensor.scales[at] * x(j), 2);
        }
    return error / 12;
}

/// What independent uniform rounding errors (variance step^2 / 12) of tables or activations add up
/// to, squared, over all rows.
double expected_error(const PackedCase& c, const VectorD& x) {
    if (c.rounding != nullptr) return c.rounding(c, x);
    double error = 0;
    for (Index g = 0; g < x.size(); g += c.scale_width) {
        const Index n = std::min(c.scale_width, x.size() - g);
        const double step = x.segment(g, n).cwiseAbs().maxCoeff() / 127;
        error += c.coded.middleCols(g, n).topRows(c.tensor.rows).squaredNorm() * step * step;
    }
    return error / 12;
}

TEST(IntegerProducts, ErrAsRoundingTo8BitsDoes) {
    for (const PackedCase& c : test::cases()) {
        if (c.tensor.rows < 32 || !c.integer_sums) continue;
        double error = 0;
        double expected = 0;
        double most = 0;
        // Rows may be nearly alike (two values of one sign): it takes many vectors to come near the
        // mean.
        for (std::uint64_t seed = 13; seed < 61; ++seed) {
            const std::vector<float> x = test::activations(c.tensor.cols, seed);
            const std::vector<float> y = test::product(c, x, VQD_INT8);
            const Reference want = test::reference(c, x);
            for (Index i = 0; i < c.tensor.rows; ++i) error += std::pow(y[i] - want.y(i), 2);
            const VectorD inputs = transformed(c, x);
            const double rounding = expected_error(c, inputs);
            expected += rounding;
            most += rounding + codebook_error(c, inputs);
        }
        EXPECT_LE(error, most * (c.tensor.cols < 16 ? 4 : 1.6)) << c.name;
        if (c.tensor.cols > 16) {
            EXPECT_GE(error, expected * 0.5) << c.name;
        }
    }
}

TEST(IntegerProducts, AreZeroForZeroActivations) {
    for (const PackedCase& c : test::cases()) {
        const std::vector<float> x(static_cast<std::size_t>(c.tensor.cols), 0.0F);
        for (const float y : test::product(c, x, VQD_INT8)) ASSERT_EQ(y, 0.0F) << c.name;
    }
}

/// Large batches round weights to 8 bits as well: the same on all instruction sets, and close.
TEST(IntegerProducts, LargeIntegerBatchesAgreeAndErrAsRoundingDoes) {
    for (const PackedCase& c : test::cases()) {
        constexpr Index batch = 61;  // of them 32, 16 and 13 take different ways on tiles
        const std::vector<float> x = test::activations(batch * c.tensor.cols, 29);
        std::vector<std::vector<float>> results;
        for (const std::string& isa : test::isas()) {
            const test::IsaScope scope(isa);
            const vqd::File file = test::open(c);
            vqd::Decoder decoder(file);
            results.emplace_back(static_cast<std::size_t>(batch * c.tensor.rows));
            decoder.matmul(0, x.data(), batch, results.back().data());
        }
        for (const auto& result : results) ASSERT_EQ(result, results.front()) << c.name;
        double error = 0;
        double size = 0;
        double codebook = 0;
        for (Index b = 0; b < batch; ++b) {
            const std::vector<float> one(x.begin() + b * c.tensor.cols,
                                         x.begin() + (b + 1) * c.tensor.cols);
            const Reference want = test::reference(c, one);
            if (c.panels_of_codes) codebook += codebook_error(c, transformed(c, one));
            for (Index i = 0; i < c.tensor.rows; ++i) {
                error += std::pow(results.front()[b * c.tensor.rows + i] - want.y(i), 2);
                size += want.y(i) * want.y(i);
            }
        }
        // Steps are 1/127 of the largest of up to 128 values: below 4.5 of their deviations, for
        // weights and for activations. A single column has a weight and an activation of 127 steps.
        // A single weight errs by up to half a step of 1/64 of the largest in its grid: 12 times
        // the variance that steps of 1/127 have.
        const double grid = (c.tensor.rows * c.tensor.cols == 1 ? 12 : 1) * codebook;
        EXPECT_LE(error, 2 * std::pow(4.5 / 127, 2) / 12 * size + grid) << c.name;
        if (c.tensor.cols > 1) {
            EXPECT_GT(error, 0) << c.name;
        }
    }
}

/// A layer of a model of 7 billion weights and a row more; a code of each layout.
TEST(IntegerProducts, LargeOddShapesAgreeOnEveryInstructionSet) {
    constexpr Index rows = 4097;
    constexpr Index cols = 11008;
    const std::vector<float> x = test::activations(cols, 37);
    for (const char* code :
         {"lut-2x8", "trellis-2", "trellis-3", "e8p", "scalar-2", "kmeans-6x12-outputs"}) {
        PackedBuffer buffer;
        random_packed(code, rows, cols, 1, 5, buffer.sink());
        std::vector<float> want;
        for (const std::string& isa : test::isas()) {
            const test::IsaScope scope(isa);
            const vqd::File file(buffer.data(), buffer.size());
            vqd::Decoder decoder(file);
            std::vector<float> y(static_cast<std::size_t>(rows));
            decoder.matvec(0, x.data(), y.data());
            if (want.empty()) {
                want = y;
                ASSERT_TRUE(std::any_of(y.begin(), y.end(), [](float v) { return v != 0; }));
            }
            EXPECT_EQ(y, want) << code << " " << isa;
        }
    }
}

/// Values of scalar grids and of E8P codes of 2 bits are whole steps: large batches round nothing.
TEST(IntegerProducts, LargeBatchesOfWholeStepsAreProductsOneByOne) {
    int cases = 0;
    for (const PackedCase& c : test::cases()) {
        if (!c.panels_of_codes || c.tensor.scale_group != 0) continue;
        ++cases;
        constexpr Index batch = 41;
        const std::vector<float> x = test::activations(batch * c.tensor.cols, 31);
        const vqd::File file = test::open(c);
        vqd::Decoder decoder(file);
        std::vector<float> y(static_cast<std::size_t>(batch * c.tensor.rows));
        decoder.matmul(0, x.data(), batch, y.data());
        for (Index b = 0; b < batch; ++b) {
            const std::vector<float> one(x.begin() + b * c.tensor.cols,
                                         x.begin() + (b + 1) * c.tensor.cols);
            const std::vector<float> want = test::product(c, one, VQD_INT8);
            for (Index i = 0; i < c.tensor.rows; ++i)
                ASSERT_EQ(y[b * c.tensor.rows + i], want[i]) << c.name << " row " << i;
        }
    }
    EXPECT_EQ(cases, 4 * 3 + 3);
}

}  // namespace
}  // namespace vq
