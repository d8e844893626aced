// SPDX-License-Identifier: Apache-2.0
// CodeArray: many codes of one width in memory, in as few bytes each as they can be read and
// written side by side by several threads: 1, 2, 4 or 8, whole 64-bit words where a code is wider.
// Encoders and decoders work on words (code.h); batches are converted on the way in and out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"

namespace vq {

class CodeArray {
public:
    CodeArray() = default;
    /// `count` codes of `bits` bits, all zero.
    CodeArray(Index count, int bits);
    /// From (bits + 63) / 64 words each, bits past `bits` zero.
    CodeArray(std::span<const std::uint64_t> words, int bits);

    Index count() const { return count_; }
    int bits() const { return bits_; }
    /// 64-bit words that one code takes outside.
    int words() const { return (bits_ + 63) / 64; }
    /// What it takes in memory.
    Index bytes() const { return static_cast<Index>(data_.size()); }

    /// Codes [first, first + n) to or from n * words() words. Different codes may be written at the
    /// same time.
    void read(Index first, Index n, std::uint64_t* out) const;
    void write(Index first, Index n, const std::uint64_t* from);
    /// All of them as words.
    std::vector<std::uint64_t> unpacked() const;

    friend bool operator==(const CodeArray&, const CodeArray&) = default;

private:
    Index count_ = 0;
    int bits_ = 0;
    Index width_ = 0;  ///< bytes a code
    std::vector<std::uint8_t> data_;
};

}  // namespace vq
