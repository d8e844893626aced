// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/refine.h"

#include <gtest/gtest.h>

#include <atomic>

#include "codebooks/residual/residual_code.h"
#include "tests/vq/layer_fixture.h"
#include "vq/tensor/proxy.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::exact_proxy;
using test::gaussian;
using test::hessian_of;
using test::Threads;

struct Problem {
    Matrix w = gaussian(40, 96, 1);
    MatrixD h = hessian_of(correlated_inputs(400, 96, 2)).xxt / 400.0;
    CodedTensor tensor;

    Problem(Along along, ScaleLayout layout) {
        h.diagonal().array() += 0.01 * h.diagonal().mean();
        const std::vector<int> bits = {4, 3};
        const Matrix sample = gaussian(2000, 4, 3);
        tensor = CodedTensor(
            40, 96, along, layout,
            {{0, 96, train_residual(sample.data(), 2000, 4, bits, nullptr, {}), "", {}}});
        tensor.fit_scales(w);
        encode();
    }
    void encode() {
        Matrix what(40, 96);
        tensor.encode_block(0, 40, 0, 96, w.data(), nullptr, what.data(), nullptr);
    }
    Matrix what() const { return tensor.decode(); }
    Matrix hf() const { return h.cast<float>(); }
};

const Along alongs[] = {Along::inputs, Along::outputs};
const ScaleLayout layouts[] = {
    {ScaleLayout::Scope::tensor, 0}, {ScaleLayout::Scope::row, 0}, {ScaleLayout::Scope::group, 16}};

TEST(Refine, EveryStepAloneLowersTheLoss) {
    for (const Along along : alongs)
        for (const ScaleLayout& layout : layouts)
            for (int step = 0; step < 3; ++step) {
                Problem p(along, layout);
                const double before = exact_proxy(p.w - p.what(), p.h);
                const RefineSettings settings = {
                    .rounds = 1, .scales = step == 0, .codebooks = step == 1, .codes = step == 2};
                const RefineReport report = refine(p.w, p.hf(), settings, {}, p.tensor);
                const double after = exact_proxy(p.w - p.what(), p.h);
                EXPECT_LT(after, before) << step;
                // fp32 products over 96 terms: 1e-4 is ten times their rounding.
                EXPECT_NEAR(report.before, before, 1e-4 * before);
                EXPECT_NEAR(report.after, after, 1e-4 * before);
            }
}

TEST(Refine, LossNeverRisesFromRoundToRound) {
    double last = 1e300;
    for (int rounds = 0; rounds < 6; ++rounds) {
        Problem p(Along::inputs, layouts[1]);
        refine(p.w, p.hf(), {.rounds = rounds, .tolerance = 0}, {}, p.tensor);
        const double loss = exact_proxy(p.w - p.what(), p.h);
        EXPECT_LE(loss, last * (1 + 1e-6));
        last = loss;
    }
}

TEST(Refine, RowScalesAreTheClosedFormOptimum) {
    Problem p(Along::inputs, layouts[1]);
    refine(p.w, p.hf(), {.rounds = 1, .codebooks = false, .codes = false}, {}, p.tensor);
    const double best = exact_proxy(p.w - p.what(), p.h);
    for (const float factor : {0.98F, 1.02F})
        EXPECT_GT(exact_proxy(p.w - factor * p.what(), p.h), best);
}

TEST(Refine, CodebooksReachTheLeastSquaresOptimum) {
    Problem p(Along::inputs, layouts[0]);
    const RefineSettings settings = {
        .rounds = 3, .scales = false, .codes = false, .cg_iterations = 300, .tolerance = 0};
    refine(p.w, p.hf(), settings, {}, p.tensor);
    // At the optimum the gradient with respect to every codeword vanishes, up to fp16 rounding.
    const Matrix gh = ((p.w - p.what()).cast<double>() * p.h).cast<float>();
    const std::vector<double> gradient = p.tensor.adjoint(test::rows_of(gh));
    Problem start(Along::inputs, layouts[0]);
    const Matrix gh0 = ((start.w - start.what()).cast<double>() * start.h).cast<float>();
    const std::vector<double> gradient0 = start.tensor.adjoint(test::rows_of(gh0));
    double norm = 0;
    double norm0 = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        norm += gradient[i] * gradient[i];
        norm0 += gradient0[i] * gradient0[i];
    }
    EXPECT_LT(norm, 1e-3 * norm0);
}

TEST(Refine, SharedCodebooksStayAsTheyAre) {
    Problem p(Along::inputs, layouts[1]);
    p.tensor.segments()[0].shared = "model";
    const CodePtr code = p.tensor.segments()[0].code;
    refine(p.w, p.hf(), {.rounds = 2}, {}, p.tensor);
    EXPECT_EQ(p.tensor.segments()[0].code, code);
}

TEST(Refine, SameBitsAtAnyNumberOfThreads) {
    for (const Along along : alongs) {
        Problem a(along, layouts[1]);
        Problem b(along, layouts[1]);
        const Threads one(1);
        refine(a.w, a.hf(), {.rounds = 2}, {}, a.tensor);
        const Threads two(2);
        refine(b.w, b.hf(), {.rounds = 2}, {}, b.tensor);
        EXPECT_EQ(a.what(), b.what());
    }
}

TEST(Refine, ARowOfZerosKeepsAScaleAndHarmsNoOther) {
    Problem p(Along::outputs, layouts[1]);
    p.w.row(5).setZero();
    p.tensor.fit_scales(p.w);
    p.encode();
    const double before = exact_proxy(p.w - p.what(), p.h);
    refine(p.w, p.hf(), {.rounds = 3, .tolerance = 0}, {}, p.tensor);
    EXPECT_LT(exact_proxy(p.w - p.what(), p.h), before);
    EXPECT_TRUE((p.tensor.scales().array() != 0.0F).all());
}

TEST(Refine, StopsWhenAsked) {
    Problem p(Along::inputs, layouts[1]);
    Progress progress;
    progress.cancelled = [] { return true; };
    EXPECT_THROW(refine(p.w, p.hf(), {.rounds = 1}, progress, p.tensor), Cancelled);
}

// Rows of the product and the loss come in panels, and do not depend on where a panel is cut.
TEST(Proxy, PanelsGiveTheWholeBitForBit) {
    const Matrix e = gaussian(300, 96, 5);
    const Problem p(Along::inputs, layouts[0]);
    const Matrix h = p.hf();
    Matrix all;
    matmul(e, false, h, false, all);
    const MatrixRows rows = [&](Index row0, Index n) -> Matrix { return e.middleRows(row0, n); };
    for (const auto& [row0, n] : {std::pair<Index, Index>{0, 300}, {0, 1}, {127, 2}, {5, 290}}) {
        Matrix part(n, 96);
        proxy_product(300, rows, h, row0, n, part.data());
        EXPECT_EQ(part, Matrix(all.middleRows(row0, n))) << row0;
    }
    double sum = 0;
    for (Index i = 0; i < 300; ++i) sum += e.row(i).cast<double>().dot(all.row(i).cast<double>());
    EXPECT_EQ(proxy_loss(e, h), sum);
}

TEST(Proxy, EqualsDoublePrecision) {
    const Problem p(Along::inputs, layouts[0]);
    const double exact = exact_proxy(p.w, p.h);
    EXPECT_NEAR(proxy_loss(p.w, p.hf()), exact, 1e-5 * exact);
    const TensorErrors errors = tensor_errors(p.w, Matrix::Zero(40, 96), p.hf());
    EXPECT_DOUBLE_EQ(errors.rel_mse, 1.0);
    EXPECT_DOUBLE_EQ(errors.rel_proxy, 1.0);
}

}  // namespace
}  // namespace vq
