// SPDX-License-Identifier: Apache-2.0
// Content hashes (XXH3, 128 bits) for fingerprints: not cryptographic, they tell apart inputs that
// differ by accident or by edit.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace vq {

/// Streams bytes into one hash.
class Hasher {
public:
    Hasher();
    ~Hasher();
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;
    void add(const void* data, std::size_t bytes);
    /// Adds the length too, so that ("ab", "c") and ("a", "bc") differ.
    void add(std::string_view text);
    /// 32 hexadecimal digits of everything added so far.
    std::string hex() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string hash_hex(std::string_view text);

}  // namespace vq
