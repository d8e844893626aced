// SPDX-License-Identifier: Apache-2.0
// What products of one vector and of many share: scratch and the caller's threads.
#pragma once

#include <cstddef>

#include "decode/product.h"

namespace vq::decode {

/// Hands out parts of the caller's scratch; without memory it only counts.
class Arena {
public:
    explicit Arena(void* memory) : memory_(static_cast<std::byte*>(memory)) {}
    template <class T>
    T* take(Index count) {
        T* at = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
        used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
        return at;
    }
    std::size_t used() const { return used_; }

private:
    std::byte* memory_;
    std::size_t used_ = 0;
};

template <class F>
void run(const Threads& threads, Index n, const F& f) {
    if (threads.parallel_for == nullptr || n <= 1) {
        for (Index i = 0; i < n; ++i) f(i);
        return;
    }
    threads.parallel_for(
        threads.pool, static_cast<std::size_t>(n),
        [](void* context, std::size_t i) {
            (*static_cast<const F*>(context))(static_cast<Index>(i));
        },
        const_cast<F*>(&f));
}

}  // namespace vq::decode
