// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/side_terms.h"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>
#include <Eigen/SVD>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"
#include "tests/vq/stored_fixture.h"
#include "vq/layer/planned_bits.h"
#include "vq/layer/quantize_layer.h"
#include "vq/run/budget.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::damage_check;
using test::exact_proxy;
using test::gaussian;
using test::hessian_of;
using test::no_shared;
using test::Threads;

MatrixD hessian(Index n) {
    return prepare_hessian(hessian_of(correlated_inputs(4 * n, n, 2)), 0.01, "w", nullptr);
}

Matrix sparse_dense(const SparseWeights& s, Index rows) {
    Matrix out = Matrix::Zero(rows, s.cols);
    s.add_to(out);
    return out;
}

TEST(LowRank, TakesOffWhatTheLeadingSingularValuesHold) {
    const Index m = 40;
    const Index n = 48;
    const Matrix r = gaussian(m, n, 1);
    const MatrixD h = hessian(n);
    const MatrixD a = r.cast<double>() * MatrixD(h.llt().matrixL());
    const VectorD s = Eigen::JacobiSVD<MatrixD>(a).singularValues();
    for (const Index rank : {1, 4, 16}) {
        const LowRank l = fit_low_rank(r, h, rank, 3);
        ASSERT_EQ(l.rank(), rank);
        const double optimum = s.tail(s.size() - rank).squaredNorm();
        const double loss = exact_proxy(r - l.dense(), h);
        // The optimum is reached up to 8-bit rounding of the factors (.4% of their largest entry)
        // and what the subspace iteration leaves.
        EXPECT_GE(loss, 0.9999 * optimum);
        EXPECT_LE(loss, optimum + 0.02 * s.squaredNorm());
        EXPECT_LT(loss, exact_proxy(r, h));
    }
}

TEST(LowRank, FindsALowRankResidualAndStopsAtFullRank) {
    const MatrixD h = hessian(24);
    const Matrix r = gaussian(30, 2, 1) * gaussian(2, 24, 2);
    EXPECT_LT(exact_proxy(r - fit_low_rank(r, h, 2, 3).dense(), h), 1e-3 * exact_proxy(r, h));
    EXPECT_EQ(fit_low_rank(gaussian(5, 24, 1), h, 100, 3).rank(), 5);
    EXPECT_EQ(fit_low_rank(gaussian(1, 24, 1), h, 3, 3).rank(), 1);
}

TEST(LowRank, NothingForNothing) {
    const MatrixD h = hessian(16);
    EXPECT_EQ(fit_low_rank(Matrix::Zero(8, 16), h, 4, 1).rank(), 0);
    EXPECT_EQ(fit_low_rank(gaussian(8, 16, 1), h, 0, 1).rank(), 0);
}

TEST(SparseWeights, TakesTheCostliestAndSolvesTheirValues) {
    const Index m = 12;
    const Index n = 20;
    const Matrix r = gaussian(m, n, 1);
    const MatrixD h = hessian(n);
    const SparseWeights s = fit_sparse(r, h, 30);
    ASSERT_EQ(s.count(), 30);
    const Matrix dense = sparse_dense(s, m);
    double least_taken = 1e300;
    double most_left = 0;
    Matrix plain = Matrix::Zero(m, n);
    for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j) {
            const double score = static_cast<double>(r(i, j)) * r(i, j) * h(j, j);
            if (dense(i, j) != 0) {
                least_taken = std::min(least_taken, score);
                plain(i, j) = r(i, j);
            } else {
                most_left = std::max(most_left, score);
            }
        }
    EXPECT_GE(least_taken, most_left);
    // Solved values are better than the residual's own, and no small step is better still.
    const double loss = exact_proxy(r - dense, h);
    EXPECT_LT(loss, exact_proxy(r - plain, h));
    for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j)
            if (dense(i, j) != 0)
                for (const float step : {-0.02F, 0.02F}) {
                    Matrix other = dense;
                    other(i, j) += step;
                    EXPECT_GT(exact_proxy(r - other, h), loss);
                }
}

Settings with_side(const char* method, double sparse, int rank) {
    Settings s = preset_settings(method);
    s.code.scope = CodebookScope::tensor;
    s.code.grid = Grid::gaussian;
    s.code.stage_bits = {3};
    s.code.rate = 2.3;
    s.code.tail = 16;
    s.code.kmeans.iterations = 3;
    if (s.scale.scope == ScaleLayout::Scope::group) s.scale.group = 16;
    s.side = {sparse, rank, false, 3};
    return s;
}

std::vector<Settings> variants() {
    return {with_side("squeezellm", 0.02, 0), with_side("lq-lora", 0, 3),
            with_side("gptq", 0.03, 2), with_side("best", 0.01, 2)};
}

TEST(SideTerms, BelongToTheReconstructionAndToTheBits) {
    for (const Settings& s : variants())
        for (const auto& [m, n] : {std::pair<Index, Index>{24, 48}, {17, 40}, {1, 5}}) {
            const QuantizedLayer q = quantize_layer(
                gaussian(m, n, 1), hessian_of(correlated_inputs(4 * n, n, 2)), s, {}, 7, "w", {});
            StoredTensor stored = store_tensor("w", q, s.method);
            stored.spec = Json::parse(stored.spec.dump());
            EXPECT_EQ(decode_stored(stored, no_shared), q.what) << settings_json(s).dump();
            EXPECT_LE(8.0 * static_cast<double>(stored.bytes()), planned_bits({m, n}, s, true));
            if (m > 1) {
                EXPECT_EQ(8.0 * static_cast<double>(stored.bytes()), planned_bits({m, n}, s, true));
            }
        }
}

TEST(SideTerms, MakeALayerBetterAndRoundsNeverWorse) {
    const Index m = 64;
    const Index n = 96;
    Matrix w = gaussian(m, n, 1) + 3.0F * gaussian(m, 2, 4) * gaussian(2, n, 5);
    for (Index i = 0; i < m; ++i) w(i, 7 * i % n) *= 12;
    const HessianSum h = hessian_of(correlated_inputs(4 * n, n, 2));
    const auto loss = [&](double sparse, int rank, int rounds) {
        Settings s = with_side("gptq", sparse, rank);
        s.side.rounds = rounds;
        return quantize_layer(w, h, s, {}, 7, "w", {}).errors.rel_proxy;
    };
    const double plain = loss(0, 0, 1);
    EXPECT_LT(loss(0.02, 0, 1), plain);
    EXPECT_LT(loss(0, 4, 1), plain);
    EXPECT_LE(loss(0, 4, 6), 1.0001 * loss(0, 4, 1));
}

TEST(SideTerms, SameBitsAtAnyThreadCount) {
    for (const Settings& s : variants()) {
        const auto run = [&](int threads) {
            const Threads set(threads);
            return quantize_layer(gaussian(150, 96, 1), hessian_of(correlated_inputs(400, 96, 2)),
                                  s, {}, 7, "w", {})
                .what;
        };
        EXPECT_EQ(run(1), run(2)) << settings_json(s).dump();
    }
}

TEST(SideTerms, EveryDamageIsAnErrorThatNamesTheTensor) {
    const Settings s = with_side("gptq", 0.03, 2);
    const StoredTensor good =
        store_tensor("layer.w",
                     quantize_layer(gaussian(24, 48, 1), hessian_of(correlated_inputs(200, 48, 2)),
                                    s, {}, 7, "w", {}),
                     s.method);
    const auto expect_error = damage_check(good);
    for (const char* name : {"low_rank_left", "low_rank_right", "low_rank_scale", "sparse_rows",
                             "sparse_cols", "sparse_values"}) {
        ASSERT_EQ(good.arrays.count(name), 1U) << name;
        expect_error([&](StoredTensor& t) { t.arrays.erase(name); });
        expect_error(test::halved(name));
        expect_error([&](StoredTensor& t) {  // right length, wrong type
            Array& a = t.arrays[name];
            a.type = ElementType::u64;
            a.bytes.resize(static_cast<std::size_t>(a.count() * 8));
        });
    }
    for (const char* key : {"rank", "sparse"})
        for (const Json& value : {Json(-1), Json(1LL << 60), Json("x"), Json(1.5), Json()})
            expect_error([&](StoredTensor& t) { t.spec["side"][key] = value; });
    expect_error([](StoredTensor& t) { t.spec["side"] = 3; });
    expect_error([](StoredTensor& t) {  // a row that begins before the one above it
        t.arrays["sparse_rows"].bytes[4] = 255;
    });
    expect_error([](StoredTensor& t) { t.arrays["sparse_cols"].bytes[1] = 255; });
    expect_error([](StoredTensor& t) {  // fp16 infinity
        t.arrays["sparse_values"].bytes[0] = 0;
        t.arrays["sparse_values"].bytes[1] = 0x7C;
    });
}

TEST(SideTerms, ABudgetSizesTheRank) {
    const LayerShapes model(
        2, {{96, 64}, {32, 64}, {32, 64}, {96, 96}, {160, 64}, {160, 64}, {64, 160}});
    double weights = 0;
    for (const TensorShape& t : model[0]) weights += 2.0 * static_cast<double>(t.rows * t.cols);
    int last = 0;
    for (const double budget : {4.5, 5.0, 5.2}) {
        Settings s = preset_settings("lq-lora");
        fit_budget(s, model, budget);
        const double bits = plan_scope(s, model).bits / weights;
        EXPECT_LE(bits, budget);
        EXPECT_GT(bits, budget - 0.4);  // one rank of these small tensors is .25 bits
        EXPECT_GE(s.side.rank, 1);
        last = s.side.rank;
    }
    EXPECT_GT(last, 1);
    Settings given = preset_settings("lq-lora");
    given.code.stage_bits = {3};
    fit_budget(given, model, 5.2);
    EXPECT_GT(given.side.rank, last);
    Settings trellis = preset_settings("best");
    trellis.side = {0, 1, true, 1};
    trellis.code.rate = 2;
    EXPECT_THROW(check_settings(trellis), Error);
}

}  // namespace
}  // namespace vq
