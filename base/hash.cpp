// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <cstdint>

#include "base/error.h"

namespace vq {

struct Hasher::State {
    XXH3_state_t* xxh = XXH3_createState();
    ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
    VQ_ASSERT(state_->xxh != nullptr);
    XXH3_128bits_reset(state_->xxh);
}
Hasher::~Hasher() = default;

void Hasher::add(const void* data, std::size_t bytes) {
    XXH3_128bits_update(state_->xxh, data, bytes);
}

void Hasher::add(std::string_view text) {
    // The length first, so that "ab", "c" and "a", "bc" differ.
    const std::uint64_t size = text.size();
    add(&size, sizeof(size));
    add(text.data(), text.size());
}

std::string Hasher::hex() const {
    const XXH128_hash_t digest = XXH3_128bits_digest(state_->xxh);
    return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

std::string hash_hex(std::string_view text) {
    Hasher hasher;
    hasher.add(text.data(), text.size());
    return hasher.hex();
}

}  // namespace vq
