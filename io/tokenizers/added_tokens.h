// SPDX-License-Identifier: Apache-2.0
// Tokens that are matched in the text itself, before pre-tokenization: special ones ("<|im_end|>")
// and others. Matching is leftmost-longest.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/tokenizers/tokenizer.h"

namespace vq {

struct AddedToken {
    std::string content;
    TokenId id = -1;
    bool special = false;      ///< left out by decode(skip_special)
    bool normalized = false;   ///< matched in the normalized text, in its own normalized form
    bool lstrip = false;       ///< swallows white space on its left
    bool rstrip = false;       ///< and on its right
    bool single_word = false;  ///< only where no word character touches it
};

class AddedTokenMatcher {
public:
    /// Adds a token under the text to look for; an empty or a known text is ignored.
    void add(std::string_view text, const AddedToken& token);
    bool empty() const { return tokens_.empty(); }

    /// A stretch [begin, end) of the text: a token, or (id -1) what lies between tokens.
    struct Piece {
        std::size_t begin = 0;
        std::size_t end = 0;
        TokenId id = -1;
    };
    /// Covers the text (valid UTF-8) with pieces in order, none of them empty.
    std::vector<Piece> split(std::string_view text) const;

private:
    struct Node {
        std::vector<std::pair<std::uint8_t, std::uint32_t>> children;
        std::int32_t token = -1;  // index into tokens_ of the text that ends here
    };
    /// Index into tokens_ of the longest token at text[at], and its length; -1 if none.
    std::pair<std::int32_t, std::size_t> longest_at(std::string_view text, std::size_t at) const;

    std::vector<AddedToken> tokens_;
    std::vector<Node> nodes_{1};
    std::array<bool, 256> starts_{};  // bytes that some token starts with
};

}  // namespace vq
