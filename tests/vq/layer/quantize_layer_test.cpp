// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/quantize_layer.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "codebooks/residual/scalar_grid.h"
#include "codebooks/residual/universal.h"
#include "tests/vq/layer_fixture.h"
#include "tests/vq/shared_grids.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::exact_proxy;
using test::gaussian;
using test::hessian_of;
using test::Threads;

/// A preset sized for tests: small codebooks of the tensor's own.
Settings small(const std::string& method) {
    Settings s = preset_settings(method);
    s.code.grid = Grid::gaussian;  // fixed grids are shared: they have tests of their own
    s.code.scope = CodebookScope::tensor;
    s.code.kmeans.iterations = 5;
    s.code.kmeans.samples = 4096;
    s.code.outlier_bits = 5;
    s.code.stage_bits = s.code.dim == 1 ? std::vector<int>{2} : std::vector<int>{5, 4};
    if (s.code.most_stage_bits == 1) s.code.stage_bits = {1, 1};
    if (s.code.kind == "e8p") s.code.stage_bits = {16};
    if (s.code.kind == "bitmod") s.code.stage_bits = {3};
    if (s.code.kind == "grid") s.code.scope = CodebookScope::universal;
    s.code.rate = 2;
    s.code.tail = 16;
    return s;
}

SharedCodes shared_for(const Settings& s) {
    return s.code.kind == "grid" ? test::shared_grids(s) : SharedCodes();
}

QuantizedLayer quantize(const Matrix& w, const Matrix& x, const Settings& s) {
    return quantize_layer(w, hessian_of(x), s, shared_for(s), 1, "w", {});
}

std::vector<std::string> methods() {
    std::vector<std::string> names;
    for (const PresetInfo& preset : presets()) names.push_back(preset.name);
    return names;
}

TEST(QuantizeLayer, AwkwardShapesWorkWithEveryPreset) {
    for (const std::string& method : methods())
        for (const auto& [m, n] :
             {std::pair<Index, Index>{1, 64}, {7, 5}, {17, 40}, {3, 1}, {1, 1}}) {
            const Matrix w = gaussian(m, n, 1);
            const QuantizedLayer q = quantize(w, correlated_inputs(4 * n, n, 2), small(method));
            ASSERT_EQ(q.what.rows(), m) << method;
            ASSERT_EQ(q.what.cols(), n) << method;
            EXPECT_TRUE(q.what.allFinite()) << method;
            EXPECT_LT(q.errors.rel_proxy, 1.0) << method << " " << m << "x" << n;
        }
}

TEST(QuantizeLayer, ZerosStayZerosWithEveryPreset) {
    const Matrix x = correlated_inputs(96, 32, 3);
    for (const std::string& method : methods()) {
        SCOPED_TRACE(method);
        const QuantizedLayer got = quantize(Matrix::Zero(24, 32), x, small(method));
        EXPECT_EQ(got.what, Matrix::Zero(24, 32));
        EXPECT_EQ(got.errors.rel_mse, 0);
        // A row of zeros among others, where rows are not mixed.
        const Settings s = small(method);
        if (s.transform.hadamard == TransformSettings::Hadamard::both ||
            s.scale.scope == ScaleLayout::Scope::tensor || s.side.any())
            continue;
        Matrix w = gaussian(24, 32, 4);
        w.row(7).setZero();
        EXPECT_EQ(quantize(w, x, s).what.row(7).squaredNorm(), 0);
    }
}

TEST(QuantizeLayer, ReportedErrorsAreThoseOfTheReconstruction) {
    const Matrix w = gaussian(24, 48, 1);
    const Matrix x = correlated_inputs(300, 48, 2);
    const MatrixD h = hessian_of(x).xxt;
    for (const std::string& method : methods()) {
        const QuantizedLayer q = quantize(w, x, small(method));
        const double proxy = exact_proxy(w - q.what, h) / exact_proxy(w, h);
        EXPECT_NEAR(q.errors.rel_proxy, proxy, 1e-4 * proxy) << method;
        const double mse = (w - q.what).squaredNorm() / w.squaredNorm();
        EXPECT_NEAR(q.errors.rel_mse, mse, 1e-4 * mse) << method;
    }
}

TEST(QuantizeLayer, ReconstructionIsTheDecodedTensorPlusSideTerms) {
    for (const std::string& method : methods()) {
        const QuantizedLayer q =
            quantize(gaussian(24, 48, 1), correlated_inputs(300, 48, 2), small(method));
        Matrix w = q.tensor.decode().topLeftCorner(24, 48);
        q.transform.invert(w);
        q.side.add_to(w);
        EXPECT_EQ(w, q.what) << method;
    }
}

TEST(QuantizeLayer, FeedbackAndRefinerEachLowerTheProxyLoss) {
    const Matrix w = gaussian(64, 128, 1);
    const Matrix x = correlated_inputs(1000, 128, 2);
    for (const std::string& method : methods()) {
        Settings s = small(method);
        s.passes = 1;
        s.refine.rounds = 0;
        // A method without data lowers the plain error, and has no feedback to lose.
        const bool data = s.objective != Objective::identity;
        const auto loss = [&](const TensorErrors& e) { return data ? e.rel_proxy : e.rel_mse; };
        const double fed = loss(quantize(w, x, s).errors);
        s.refine.rounds = 2;
        EXPECT_LT(loss(quantize(w, x, s).errors), fed) << method;
        s.refine.rounds = 0;
        if (!data) continue;
        if (s.order == FeedbackOrder::none) s.order = FeedbackOrder::backward;
        const double with_feedback = quantize(w, x, s).errors.rel_proxy;
        s.order = FeedbackOrder::none;
        EXPECT_GT(quantize(w, x, s).errors.rel_proxy, with_feedback) << method;
    }
}

// A known fault of VPTQ's reference: it divides W's columns by their size but leaves H as it was.
// With columns whose scales spread by sigma = 1, the transform of both must be at least twice as
// good.
TEST(QuantizeLayer, JointTransformBeatsScalingWeightsOnly) {
    const Index n = 96;
    Matrix w = gaussian(96, n, 1);
    Matrix x = correlated_inputs(2000, n, 2);
    for (Index j = 0; j < n; ++j) {
        const auto scale =
            static_cast<float>(std::exp(random_normal(5, static_cast<std::uint64_t>(j))));
        w.col(j) *= scale;
    }
    const HessianSum h = hessian_of(x);
    Settings s = small("gptvq");
    s.refine.rounds = 0;
    s.transform.column_scale = TransformSettings::ColumnScale::weight;
    const double joint = quantize_layer(w, h, s, {}, 1, "w", {}).errors.rel_proxy;

    // Weights only: quantize W D as if its Hessian were H, then divide the columns by D again.
    TransformSettings ts;
    ts.column_scale = TransformSettings::ColumnScale::weight;
    const Transform t = make_transform(ts, w, h.xxt.diagonal(), 1);
    Matrix scaled = w;
    t.apply(scaled);
    s.transform.column_scale = TransformSettings::ColumnScale::none;
    Matrix what = quantize_layer(scaled, h, s, {}, 1, "w", {}).what;
    t.invert(what);
    const double weights_only = exact_proxy(w - what, h.xxt) / exact_proxy(w, h.xxt);
    EXPECT_GE(weights_only, 2.0 * joint) << "joint " << joint;
}

TEST(QuantizeLayer, ComparingCandidatesInTheLocalMetricLowersTheProxyLoss) {
    const Matrix w = gaussian(96, 128, 1);
    const Matrix x = correlated_inputs(600, 128, 2);
    for (const FeedbackOrder order : {FeedbackOrder::none, FeedbackOrder::backward}) {
        Settings s = small("gptvq");
        s.code.dim = 8;
        s.refine.rounds = 0;
        s.order = order;
        s.metric = false;
        const double plain = quantize(w, x, s).errors.rel_proxy;
        s.metric = true;
        EXPECT_LT(quantize(w, x, s).errors.rel_proxy, plain);
    }
}

TEST(QuantizeLayer, SearchedScalesDoNotClipALargeWeightOnALargeInput) {
    Matrix w = gaussian(32, 64, 1);
    Matrix x = correlated_inputs(600, 64, 2);
    w.col(7) *= 8.0F;
    x.col(7) *= 30.0F;
    Settings s = small("gptq");
    s.code.stage_bits = {4};
    s.scale_search = 0;
    const double clipped = quantize(w, x, s).errors.rel_proxy;
    s.scale_search = 32;
    EXPECT_LT(quantize(w, x, s).errors.rel_proxy, 0.5 * clipped);
}

TEST(QuantizeLayer, ScalesAreSearchedGroupByGroup) {
    // What one group needs does not depend on the others.
    const Matrix w = gaussian(32, 64, 1);
    Settings s = small("finequant");
    s.code.scope = CodebookScope::universal;
    s.scale.group = 16;
    const SharedCodes shared = {{"grid", scalar_grid(Grid::uniform, 2)}};
    const auto scales = [&](const Matrix& part) {
        return Matrix(
            quantize_layer(part, HessianSum(part.cols()), s, shared, 1, "w", {}).tensor.scales());
    };
    const Matrix all = scales(w);
    ASSERT_EQ(all.cols(), 4);
    for (Index g = 0; g < 4; ++g)
        EXPECT_EQ(Matrix(all.col(g)), scales(Matrix(w.middleCols(g * 16, 16))));
    s.scale_search = 0;
    const Matrix plain = scales(w);
    EXPECT_GT((all - plain).cwiseAbs().maxCoeff(), 0.05F);
}

TEST(QuantizeLayer, SearchedColumnPowersAreNoWorseThanAnyTried) {
    const Matrix w = gaussian(48, 64, 1);
    Matrix x = correlated_inputs(600, 64, 2);
    x.leftCols(5) *= 10.0F;
    Settings s = small("awq");
    s.scale.group = 32;
    s.transform.power_search = 5;
    const double found = quantize(w, x, s).errors.rel_proxy;
    s.transform.power_search = 0;
    double least = std::numeric_limits<double>::infinity();
    double flat = 0;
    for (const double power : {0.0, 0.25, 0.5, 0.75, 1.0}) {
        s.transform.column_power = power;
        const double loss = quantize(w, x, s).errors.rel_proxy;
        if (power == 0) flat = loss;
        least = std::min(least, loss);
    }
    EXPECT_EQ(found, least);
    EXPECT_LT(found, flat);
}

/// Weights and inputs whose columns differ in size by factors of up to a hundred.
struct Uneven {
    Matrix w;
    Matrix x;
};
Uneven uneven(Index m, Index n) {
    Uneven out{gaussian(m, n, 1), gaussian(4 * n, n, 2)};
    for (Index j = 0; j < n; ++j) {
        const auto at = static_cast<std::uint64_t>(j);
        out.w.col(j) *= std::exp(static_cast<float>(random_normal(5, at)));
        out.x.col(j) *= std::exp(static_cast<float>(random_normal(6, at)));
    }
    return out;
}

TEST(QuantizeLayer, ColumnsOfTheirOwnDepthBeatOneDepthAtTheSameBits) {
    const Uneven data = uneven(96, 128);
    for (const double rate : {2.0, 3.0, 4.0}) {
        Settings s = small("cvxq-grid");
        s.code.rate = rate;
        const QuantizedLayer filled = quantize(data.w, data.x, s);
        s.code.waterfill = false;
        const QuantizedLayer flat = quantize(data.w, data.x, s);
        EXPECT_EQ(flat.tensor.segments().size(), 1U);
        EXPECT_GT(filled.tensor.segments().size(), 3U);
        EXPECT_LT(filled.errors.rel_proxy, 0.5 * flat.errors.rel_proxy) << rate;
    }
}

TEST(QuantizeLayer, DepthsFallWithColumnVarianceTimesInputs) {
    const Uneven data = uneven(96, 128);
    Settings s = small("cvxq-grid");
    s.code.rate = 3;
    const QuantizedLayer q = quantize(data.w, data.x, s);
    const HessianSum h = hessian_of(data.x);
    const double damping = s.damping * h.xxt.diagonal().mean();
    double last = std::numeric_limits<double>::infinity();
    for (const TransformStep& step : q.transform.steps()) {
        if (step.kind != TransformStep::Kind::permutation) continue;
        for (const std::uint32_t c : step.order) {
            const double sensitivity =
                data.w.col(c).cast<double>().squaredNorm() * (h.xxt(c, c) + damping);
            EXPECT_LT(sensitivity, 1.01 * last);  // up to the rounding of scales to fp16
            last = sensitivity;
        }
    }
    EXPECT_LT(last, std::numeric_limits<double>::infinity());
    int bits = 9;
    for (const Segment& segment : q.tensor.segments()) {
        EXPECT_LT(segment.code->bits(), bits);
        bits = segment.code->bits();
    }
}

TEST(QuantizeLayer, NewPresetsServeTheShapesOfASmallModel) {
    for (const char* method : {"bitmod", "cvxq-grid"})
        for (const auto& [m, n] :
             {std::pair<Index, Index>{1, 576}, {40, 5}, {17, 40}, {192, 576}}) {
            const QuantizedLayer q =
                quantize(gaussian(m, n, 1), correlated_inputs(600, n, 2), small(method));
            EXPECT_LT(q.errors.rel_mse, 0.5) << method << " " << m << "x" << n;
        }
}

TEST(QuantizeLayer, FixedGridsServeSingleWeights) {
    const Matrix w = gaussian(48, 64, 1);
    const HessianSum h = hessian_of(correlated_inputs(600, 64, 2));
    for (const Grid grid : {Grid::uniform, Grid::normal_float, Grid::floating}) {
        Settings s = preset_settings("llm-fp4");
        s.code.grid = grid;
        s.code.stage_bits = {4};
        const SharedCodes shared = {{"grid", scalar_grid(grid, 4)}};
        const QuantizedLayer q = quantize_layer(w, h, s, shared, 1, "w", {});
        EXPECT_LT(q.errors.rel_mse, 0.03);
        s.code.dim = 8;
        EXPECT_THROW(check_settings(s), Error);
    }
}

TEST(QuantizeLayer, SameBitsAtAnyNumberOfThreads) {
    const Matrix w = gaussian(150, 136, 1);
    const Matrix x = correlated_inputs(600, 136, 2);
    for (const std::string& method : methods()) {
        const Threads one(1);
        const QuantizedLayer a = quantize(w, x, small(method));
        const Threads two(2);
        const QuantizedLayer b = quantize(w, x, small(method));
        EXPECT_EQ(a.what, b.what) << method;
        for (std::size_t i = 0; i < a.tensor.segments().size(); ++i)
            EXPECT_EQ(a.tensor.segments()[i].codes, b.tensor.segments()[i].codes) << method;
    }
}

TEST(QuantizeLayer, PermutingColumnsTogetherWithInputsChangesNothing) {
    const Matrix w = gaussian(40, 64, 1);
    const Matrix x = correlated_inputs(400, 64, 2);
    Matrix wp = w;
    Matrix xp = x;
    for (Index j = 0; j < 64; ++j) {
        wp.col(j) = w.col(63 - j);
        xp.col(j) = x.col(63 - j);
    }
    const Settings s = small("vptq");  // sorts its columns, so it must undo any order
    const double a = quantize(w, x, s).errors.rel_proxy;
    const double b = quantize(wp, xp, s).errors.rel_proxy;
    EXPECT_NEAR(a, b, 0.02 * a);  // k-means draws its start in another order
}

TEST(QuantizeLayer, DeadAndNeverSeenInputsAreHandledAndReported) {
    const Matrix w = gaussian(16, 32, 1);
    Matrix x = correlated_inputs(300, 32, 2);
    x.col(3).setZero();
    x.col(30).setZero();
    for (const std::string& method : methods()) {
        const QuantizedLayer q = quantize(w, x, small(method));
        EXPECT_EQ(q.hessian.dead_columns, 2) << method;
        EXPECT_TRUE(q.what.allFinite()) << method;
        const QuantizedLayer unseen =
            quantize_layer(w, HessianSum(32), small(method), shared_for(small(method)), 1, "w", {});
        EXPECT_TRUE(unseen.hessian.never_seen) << method;
        EXPECT_LT(unseen.errors.rel_mse, 1.0) << method;
    }
}

TEST(QuantizeLayer, ConstantWeightsSurvive) {
    const Matrix x = correlated_inputs(300, 32, 2);
    for (const std::string& method : methods()) {
        EXPECT_TRUE(quantize(Matrix::Zero(16, 32), x, small(method)).what.allFinite()) << method;
        EXPECT_TRUE(quantize(Matrix::Constant(16, 32, 3.0F), x, small(method)).what.allFinite())
            << method;
        EXPECT_TRUE(quantize(Matrix::Constant(16, 32, 1e-30F), x, small(method)).what.allFinite())
            << method;
    }
}

TEST(QuantizeLayer, NanWeightIsRefusedByName) {
    Matrix w = gaussian(16, 32, 1);
    w(3, 4) = std::numeric_limits<float>::quiet_NaN();
    try {
        quantize_layer(w, HessianSum(32), small("rvq"), {}, 1, "model.layers.3.w", {});
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("model.layers.3.w"), std::string::npos);
    }
}

TEST(QuantizeLayer, UniversalCodebookServesAHadamardTransformedTensor) {
    Settings s = preset_settings("rvq");
    s.code.stage_bits = {8, 8};
    s.refine.rounds = 0;
    s.objective = Objective::identity;
    const SharedCodes shared = {
        {"universal.gauss_d8_8_8", universal_code(8, s.code.stage_bits, 16)}};
    // Heavy-tailed weights: a plain Gaussian codebook would fail on them without the rotation.
    Matrix w = gaussian(128, 192, 1);
    for (Index i = 0; i < w.size(); ++i) w.data()[i] = std::pow(w.data()[i], 3.0F);
    const HessianSum h = hessian_of(gaussian(800, 192, 2));
    const double rotated = quantize_layer(w, h, s, shared, 1, "w", {}).errors.rel_mse;
    EXPECT_LT(rotated,
              0.097);  // .0924 for Gaussian data, and a little for what is not quite Gaussian
    s.transform.hadamard = TransformSettings::Hadamard::none;
    EXPECT_GT(quantize_layer(w, h, s, shared, 1, "w", {}).errors.rel_mse, 1.5 * rotated);
}

}  // namespace
}  // namespace vq
