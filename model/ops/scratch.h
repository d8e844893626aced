// SPDX-License-Identifier: Apache-2.0
// Temporary memory that is kept between uses: threads take buffers and give them back. Without it
// the runtime would spend a tenth of its time on fresh pages.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/matrix.h"

namespace vq {

/// A pool of buffers, aligned to 64 bytes, contents undefined. Thread-safe. Keeps as many buffers
/// as were in use at the same time.
class ScratchPool {
    struct Block {
        std::size_t bytes = 0;
        std::unique_ptr<std::byte[]> memory;
    };

public:
    /// A buffer on loan; goes back to the pool when it goes out of scope.
    class Buffer {
    public:
        Buffer(ScratchPool& pool, Block block) : pool_(pool), block_(std::move(block)) {}
        ~Buffer() { pool_.put(std::move(block_)); }
        Buffer(const Buffer&) = delete;
        Buffer& operator=(const Buffer&) = delete;
        void* data() const;
        float* floats() const { return static_cast<float*>(data()); }

    private:
        ScratchPool& pool_;
        Block block_;
    };

    ScratchPool() = default;
    ScratchPool(const ScratchPool&) = delete;
    ScratchPool& operator=(const ScratchPool&) = delete;

    Buffer bytes(std::size_t count);
    Buffer floats(Index count) { return bytes(static_cast<std::size_t>(count) * sizeof(float)); }

private:
    void put(Block block);

    std::mutex mutex_;
    std::vector<Block> free_;  ///< by size, ascending
};

}  // namespace vq
