// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/round_tensor.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"
#include "vq/layer/planned_bits.h"
#include "vq/run/presets.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {
namespace {

using test::gaussian;
using test::Threads;

Settings bytes() {
    return embedding_settings(Settings(), false);
}

TEST(RoundTensor, EveryWeightIsWithinHalfAStep) {
    for (const auto& [m, n] : {std::pair<Index, Index>{1, 32}, {5, 7}, {130, 96}, {67, 100}}) {
        const Matrix w = gaussian(m, n, 1);
        const QuantizedLayer q = round_tensor(w, bytes(), "w");
        ASSERT_EQ(q.what.rows(), m);
        ASSERT_EQ(q.what.cols(), n);
        for (Index i = 0; i < m; ++i)
            for (Index c = 0; c < n; c += 32) {
                const Index width = std::min<Index>(32, n - c);
                const float largest = w.row(i).segment(c, width).cwiseAbs().maxCoeff();
                // Half a step of largest / 127, and fp16's rounding of the step times up to 127.
                EXPECT_LE((w - q.what).row(i).segment(c, width).cwiseAbs().maxCoeff(),
                          largest * (0.5F / 127 + 0x1p-11F));
            }
        EXPECT_NEAR(q.errors.rel_mse, (w - q.what).squaredNorm() / w.squaredNorm(), 1e-9);
        EXPECT_EQ(q.errors.rel_proxy, q.errors.rel_mse);
    }
}

TEST(RoundTensor, StoredTensorDecodesToTheSameWeights) {
    const Matrix w = gaussian(50, 70, 2);
    const QuantizedLayer q = round_tensor(w, bytes(), "w");
    const StoredTensor stored = store_tensor("w", q, "best");
    EXPECT_EQ(8 * stored.bytes(), planned_bits({50, 70}, bytes(), false));
    const Matrix decoded = decode_stored(stored, {});
    EXPECT_EQ(decoded, q.what);
}

TEST(RoundTensor, SameBitsAtAnyThreadCount) {
    const Matrix w = gaussian(300, 64, 3);
    const Threads one(1);
    const Matrix a = round_tensor(w, bytes(), "w").what;
    const Threads two(2);
    EXPECT_EQ(a, round_tensor(w, bytes(), "w").what);
}

TEST(RoundTensor, WeightsThatAreNotFiniteAreRefused) {
    Matrix w = gaussian(4, 32, 1);
    w(3, 3) = std::numeric_limits<float>::infinity();
    EXPECT_THROW(round_tensor(w, bytes(), "w"), Error);
}

}  // namespace
}  // namespace vq
