// SPDX-License-Identifier: Apache-2.0
// The codebooks of a packed file, as floats, and what codes make of them for their kernels: each
// once, for all segments that name them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <typeindex>
#include <utility>
#include <vector>

#include "base/packed/segment.h"

namespace vq::decode {

/// Throws Error: the file lies.
[[noreturn]] void fail_damaged(const std::string& what, const std::string& where);

/// Neither infinite nor not a number.
static inline bool finite(Half h) {
    return (h & 0x7C00u) != 0x7C00u;
}

class PackedCodebooks {
public:
    /// `entries` codewords of `dim` values, checked to be finite; they must stay.
    void add(std::uint32_t entries, std::uint32_t dim, const Half* words);
    std::size_t size() const { return books_.size(); }

    /// The codewords [2^bits][dim] of codebook `id` as floats. Throws Error unless there is such a
    /// one; bits and dim may be anything.
    const float* values(std::uint32_t id, std::uint32_t bits, std::uint32_t dim,
                        const std::string& where);

    /// make() -> T, called the first time that this T is asked for with these codebooks.
    template <class T, class Make>
    const T* made(std::vector<std::uint32_t> ids, const Make& make) {
        std::shared_ptr<const void>& kept = made_[{std::type_index(typeid(T)), std::move(ids)}];
        if (!kept) kept = std::make_shared<const T>(make());
        return static_cast<const T*>(kept.get());
    }

private:
    struct Book {
        std::uint32_t entries, dim;
        const Half* words;
        std::vector<float> values;  ///< filled when a segment first needs it
    };
    std::vector<Book> books_;
    std::map<std::pair<std::type_index, std::vector<std::uint32_t>>, std::shared_ptr<const void>>
        made_;
};

}  // namespace vq::decode
