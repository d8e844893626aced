// SPDX-License-Identifier: Apache-2.0
// WordTable: a matrix with a row for every word of the vocabulary, of which the rows of some tokens
// are asked for. Resident, or as it lies in a packed file.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/matrix.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

class PackedWeights;

class WordTable {
public:
    WordTable() = default;
    explicit WordTable(Matrix rows);
    WordTable(std::shared_ptr<const PackedWeights> packed, const std::string& name);

    Index width() const { return width_; }
    /// out (tokens, width). Tokens must be words of the table. Thread-safe.
    void read(std::span<const TokenId> tokens, float* out) const;

private:
    Matrix rows_;  ///< empty where the table is packed
    std::shared_ptr<const PackedWeights> packed_;
    std::size_t tensor_ = 0;
    Index width_ = 0;
};

}  // namespace vq
