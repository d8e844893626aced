// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/drift.h"

#include <gtest/gtest.h>

#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::gaussian;
using test::hessian_of;
using test::Threads;

struct Drifted {
    Matrix w;   // (m, n)
    Matrix x;   // (tokens, n): the original model's inputs
    Matrix xq;  // what has become of them
    Matrix r;   // (tokens, m): the original stream
    Matrix rq;
    DriftSum sum;
};

Drifted drifted(Index tokens, Index m, Index n, bool stream) {
    Drifted d;
    d.w = gaussian(m, n, 1);
    d.x = correlated_inputs(tokens, n, 2);
    // A linear change of the inputs, and noise: only the first can be made good for.
    d.xq = d.x + 0.1F * (d.x * gaussian(n, n, 3)) / std::sqrt(static_cast<float>(n)) +
           0.05F * gaussian(tokens, n, 4);
    d.r = gaussian(tokens, m, 5);
    d.rq = d.r - 0.2F * d.xq * gaussian(n, m, 6) / std::sqrt(static_cast<float>(n));
    d.sum.add(d.x.data(), d.xq.data(), n, stream ? d.r.data() : nullptr,
              stream ? d.rq.data() : nullptr, m, tokens);
    return d;
}

Matrix corrected_weights(const Matrix& w, const HessianSum& inputs, const DriftSum& drift,
                         double damping, double strength, const std::string& name) {
    HessianFactors factors(inputs);
    return vq::corrected_weights(w, factors, drift, damping, strength, name);
}

/// sum |r + W x - (rq + V xq)|^2, the streams left out for layers that do not add to them.
double loss(const Drifted& d, const Matrix& v, bool stream) {
    Matrix e = d.x * d.w.transpose() - d.xq * v.transpose();
    if (stream) e += d.r - d.rq;
    return e.cast<double>().squaredNorm();
}

TEST(Drift, CorrectedWeightsAreTheLeastSquaresSolution) {
    for (const bool stream : {false, true}) {
        const Drifted d = drifted(2000, 12, 24, stream);
        const Matrix v = corrected_weights(d.w, hessian_of(d.xq), d.sum, 1e-9, 1.0, "w");
        const double best = loss(d, v, stream);
        EXPECT_LT(best, 0.7 * loss(d, d.w, stream));
        // No small step in any of some directions is better.
        for (std::uint64_t seed = 10; seed < 20; ++seed) {
            const Matrix step = 1e-3F * gaussian(12, 24, seed);
            EXPECT_GT(loss(d, v + step, stream), best);
            EXPECT_GT(loss(d, v - step, stream), best);
        }
    }
}

TEST(Drift, StrengthGoesFromNothingToAllOfIt) {
    const Drifted d = drifted(500, 6, 16, true);
    const HessianSum h = hessian_of(d.xq);
    const Matrix none = corrected_weights(d.w, h, d.sum, 0.01, 0.0, "w");
    const Matrix half = corrected_weights(d.w, h, d.sum, 0.01, 0.5, "w");
    const Matrix all = corrected_weights(d.w, h, d.sum, 0.01, 1.0, "w");
    EXPECT_EQ(none, d.w);
    EXPECT_LT((half - 0.5F * (d.w + all)).cwiseAbs().maxCoeff(), 1e-5F * d.w.cwiseAbs().maxCoeff());
}

TEST(Drift, NoDriftChangesNothing) {
    const Matrix w = gaussian(8, 16, 1);
    const Matrix x = correlated_inputs(300, 16, 2);
    DriftSum sum;
    sum.add(x.data(), x.data(), 16, nullptr, nullptr, 8, 300);
    EXPECT_EQ(corrected_weights(w, hessian_of(x), sum, 0.01, 1.0, "w"), w);
    EXPECT_EQ(corrected_weights(w, hessian_of(x), DriftSum(), 0.01, 1.0, "w"), w);
}

TEST(Drift, SameBitsAtAnyThreadCount) {
    const auto run = [](int threads) {
        const Threads set(threads);
        return drifted(700, 300, 290, true).sum;
    };
    const DriftSum one = run(1);
    const DriftSum two = run(2);
    EXPECT_EQ(one.input, two.input);
    EXPECT_EQ(one.stream, two.stream);
}

}  // namespace
}  // namespace vq
