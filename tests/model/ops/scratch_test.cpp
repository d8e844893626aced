// SPDX-License-Identifier: Apache-2.0
#include "model/ops/scratch.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "base/parallel.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

TEST(ScratchPool, BuffersAreAlignedAndLargeEnough) {
    ScratchPool pool;
    for (const std::size_t bytes : {0, 1, 63, 64, 65, 100000}) {
        const auto buffer = pool.bytes(bytes);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U) << bytes;
        std::memset(buffer.data(), 1, bytes);  // the address sanitizer looks on
    }
}

TEST(ScratchPool, ReturnedBuffersAreUsedAgain) {
    ScratchPool pool;
    void* first = nullptr;
    {
        const auto buffer = pool.floats(1000);
        first = buffer.data();
    }
    const auto smaller = pool.floats(900);
    EXPECT_EQ(smaller.data(), first);
    const auto other = pool.floats(900);
    EXPECT_NE(other.data(), first);
}

TEST(ScratchPool, ThreadsNeverShareABuffer) {
    const test::Threads threads(4);
    ScratchPool pool;
    parallel_for(200, [&](std::int64_t i) {
        const auto buffer = pool.floats(50 + i % 7);
        std::fill_n(buffer.floats(), 50, static_cast<float>(i));
        for (int repeat = 0; repeat < 20; ++repeat)
            for (int j = 0; j < 50; ++j)
                if (buffer.floats()[j] != static_cast<float>(i)) throw std::logic_error("shared");
    });
}

}  // namespace
}  // namespace vq
