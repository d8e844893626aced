// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/hadamard.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::gaussian;

TEST(Hadamard, SmallMatricesHaveOrthogonalRowsOfSigns) {
    for (const Index p : {1, 12, 20, 28, 36}) {
        const Matrix& h = small_hadamard(p);
        ASSERT_EQ(h.rows(), p);
        EXPECT_TRUE((h.cwiseAbs().array() == 1.0F).all()) << p;
        EXPECT_TRUE((h * h.transpose()).isApprox(static_cast<float>(p) * Matrix::Identity(p, p)))
            << p;
    }
}

TEST(Hadamard, LengthsOfModelsAreOneBlock) {
    for (const Index n : {64, 128, 192, 576, 1536, 4096, 2560, 3584, 14336, 18432})
        EXPECT_EQ(hadamard_blocks(n).size(), 1u) << n;
}

TEST(Hadamard, BlocksAlwaysCoverTheLength) {
    for (Index n = 1; n < 300; ++n) {
        const auto blocks = hadamard_blocks(n);
        EXPECT_EQ(std::accumulate(blocks.begin(), blocks.end(), Index{0}), n);
    }
}

TEST(Hadamard, InverseUndoesForwardForEveryLength) {
    for (const Index n : {1, 2, 5, 12, 17, 20, 28, 36, 40, 100, 192, 576, 1536}) {
        const RandomHadamard r(n, 99);
        const Matrix x = gaussian(3, n, 5);
        Matrix y = x;
        r.forward(y.data(), 3, n);
        // Orthonormal: norms stay. fp32 sums of n terms: relative error a few times 2^-24 * log2 n.
        EXPECT_NEAR(y.norm(), x.norm(), 1e-5 * x.norm()) << n;
        r.inverse(y.data(), 3, n);
        EXPECT_LT((y - x).cwiseAbs().maxCoeff(), 1e-5F) << n;
    }
}

TEST(Hadamard, SpreadsOneSpikeOverTheWholeVector) {
    const RandomHadamard r(576, 3);
    Matrix x = Matrix::Zero(1, 576);
    x(0, 17) = 1;
    r.forward(x.data(), 1, 576);
    EXPECT_LT(x.cwiseAbs().maxCoeff(), 1.01F / std::sqrt(576.0F));
}

TEST(Hadamard, OtherSeedsAreOtherRotations) {
    Matrix a = gaussian(1, 64, 1);
    Matrix b = a;
    RandomHadamard(64, 1).forward(a.data(), 1, 64);
    RandomHadamard(64, 2).forward(b.data(), 1, 64);
    EXPECT_GT((a - b).norm(), 1.0F);
}

}  // namespace
}  // namespace vq
