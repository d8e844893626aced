// SPDX-License-Identifier: Apache-2.0
#include "model/ops/scratch.h"

#include <algorithm>
#include <cstdint>

namespace vq {

namespace {

constexpr std::size_t alignment = 64;

}  // namespace

void* ScratchPool::Buffer::data() const {
    void* p = block_.memory.get();
    std::size_t space = block_.bytes;
    return std::align(alignment, block_.bytes - alignment, p, space);
}

ScratchPool::Buffer ScratchPool::bytes(std::size_t count) {
    const std::size_t need = count + alignment;
    {
        const std::lock_guard lock(mutex_);
        const auto at = std::find_if(free_.begin(), free_.end(),
                                     [need](const Block& b) { return b.bytes >= need; });
        if (at != free_.end()) {
            Block block = std::move(*at);
            free_.erase(at);
            return {*this, std::move(block)};
        }
        if (!free_.empty()) free_.erase(free_.begin());  // too small: replaced by the one below
    }
    Block block;
    block.memory = std::make_unique_for_overwrite<std::byte[]>(need);
    block.bytes = need;
    return {*this, std::move(block)};
}

void ScratchPool::put(Block block) {
    if (block.memory == nullptr) return;
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(free_.begin(), free_.end(),
                                 [&](const Block& b) { return b.bytes >= block.bytes; });
    free_.insert(at, std::move(block));
}

}  // namespace vq
