// SPDX-License-Identifier: Apache-2.0
// Cuts a Jinja template into text and the words of its tags, with the treatment of blanks that
// transformers asks for: trim_blocks, lstrip_blocks, "-" and "+" at the tags' ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vq::jinja {

enum class TokenKind {
    text,
    block_begin,
    block_end,
    print_begin,
    print_end,
    name,
    integer,
    real,
    string,
    symbol,
    end
};

struct Token {
    TokenKind kind = TokenKind::end;
    std::string text;  ///< strings without quotes, escapes resolved
    int line = 1;
};

/// Ends with a token of the kind `end`. Throws Error on a tag that is not closed and on characters
/// that no word begins with.
std::vector<Token> cut(std::string_view source);

}  // namespace vq::jinja
