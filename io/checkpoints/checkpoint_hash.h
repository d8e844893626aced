// SPDX-License-Identifier: Apache-2.0
// One hash of a whole checkpoint, its tensors read side by side.
#pragma once

#include <string>
#include <vector>

#include "base/hash.h"
#include "base/parallel.h"

namespace vq {

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
