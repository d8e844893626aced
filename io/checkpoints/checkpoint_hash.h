// SPDX-License-Identifier: Apache-2.0
// One hash of a whole checkpoint, its tensors read side by side.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/hash.h"
#include "base/parallel.h"

namespace vq {

/// hasher.add() of a tensor's bytes, piece by piece: one of gigabytes, read from a slow disk, can be
/// stopped on the way (CancelScope).
inline void hash_tensor(const std::uint8_t* data, std::size_t bytes, Hasher& hasher) {
    constexpr std::size_t piece = std::size_t{16} << 20;
    for (std::size_t at = 0; at < bytes; at += piece) {
        check_cancelled();
        hasher.add(data + at, std::min(piece, bytes - at));
    }
}

/// Of the config and of what `add(name, hasher)` streams of each tensor, in the order of names.
template <class Add>
std::string checkpoint_hash(const std::string& config, const std::vector<std::string>& names,
                            const Add& add) {
    std::vector<std::string> parts(names.size());
    parallel_for(static_cast<std::int64_t>(names.size()), [&](std::int64_t i) {
        const std::string& name = names[static_cast<std::size_t>(i)];
        Hasher hasher;
        hasher.add(std::string_view(name));
        add(name, hasher);
        parts[static_cast<std::size_t>(i)] = hasher.hex();
    });
    Hasher all;
    all.add(std::string_view(config));
    for (const std::string& part : parts) all.add(std::string_view(part));
    return all.hex();
}

}  // namespace vq
