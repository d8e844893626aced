// SPDX-License-Identifier: Apache-2.0
// Loops over tokens, and what every half of a block does with its last product.
#pragma once

#include <algorithm>

#include "model/ops/linear.h"
#include "model/ops/work_split.h"

namespace vq {

/// Calls f(first, count) for token tiles: tile by tile, so that what a tile makes is still in the
/// cache for its next use.
template <class F>
void for_token_tiles(Index tokens, F&& f) {
    parallel_for_outer((tokens + Linear::tile_tokens - 1) / Linear::tile_tokens, [&](Index t) {
        const Index first = t * Linear::tile_tokens;
        f(first, std::min(Linear::tile_tokens, tokens - first));
    });
}

/// stream (tokens, w.out()) += factor (W x + b), x (tokens, w.in()).
void add_product(const Linear& w, const float* x, Index tokens, float factor, float* stream,
                 ScratchPool& scratch);

}  // namespace vq
