// SPDX-License-Identifier: Apache-2.0
#include "base/cancel.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/gemm.h"
#include "base/parallel.h"

namespace vq {
namespace {

TEST(CancelScope, NobodyAsksWithoutOne) {
    EXPECT_NO_THROW(check_cancelled());
    int items = 0;
    parallel_for(1, [&](std::int64_t) { ++items; });
    EXPECT_EQ(items, 1);
}

TEST(CancelScope, LoopsStopBetweenItemsOnEveryThread) {
    for (const int threads : {1, 2, 3}) {
        const ThreadScope scope(threads);
        std::atomic<bool> stop{false};
        std::atomic<int> items{0};
        const std::function<bool()> cancelled = [&] { return stop.load(); };
        const CancelScope cancel(cancelled);
        EXPECT_THROW(parallel_for(100000,
                                  [&](std::int64_t) {
                                      if (++items == 50) stop = true;
                                  }),
                     Cancelled);
        // Each other thread may have been past its question.
        EXPECT_LE(items.load(), 50 + threads);
    }
}

TEST(CancelScope, ALongItemCanAskItself) {
    const ThreadScope threads(2);
    std::atomic<int> asked{0};
    const std::function<bool()> cancelled = [&] { return ++asked > 20; };
    const CancelScope cancel(cancelled);
    EXPECT_THROW(parallel_for(2,
                              [&](std::int64_t) {
                                  for (;;) check_cancelled();
                              }),
                 Cancelled);
}

TEST(CancelScope, EndsWithItsBlockAndAnEmptyOneChangesNothing) {
    const std::function<bool()> yes = [] { return true; };
    const std::function<bool()> empty;
    {
        const CancelScope outer(yes);
        EXPECT_THROW(check_cancelled(), Cancelled);
        {
            const CancelScope inner(empty);
            EXPECT_THROW(check_cancelled(), Cancelled);
        }
        EXPECT_THROW(check_cancelled(), Cancelled);
    }
    EXPECT_NO_THROW(check_cancelled());
}

TEST(CancelScope, ProductsAndFactorizationsStop) {
    const std::function<bool()> yes = [] { return true; };
    const Matrix a = Matrix::Ones(300, 300);
    Matrix c;
    MatrixD h = MatrixD::Identity(500, 500);
    const CancelScope cancel(yes);
    EXPECT_THROW(matmul(a, false, a, false, c), Cancelled);
    EXPECT_THROW(add_gram(a.data(), 300, 300, *std::make_unique<MatrixD>(MatrixD::Zero(300, 300))),
                 Cancelled);
    EXPECT_THROW(cholesky_lower(h), Cancelled);
}

}  // namespace
}  // namespace vq
