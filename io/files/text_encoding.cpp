// SPDX-License-Identifier: Apache-2.0
#include "io/files/text_encoding.h"

#include <array>
#include <cstddef>

#include "base/utf8.h"

namespace vq {
namespace {

using namespace std::string_view_literals;

constexpr EncodingFault utf16_le{"is UTF-16 text (little-endian)",
                                 "convert it to UTF-8: iconv -f UTF-16LE -t UTF-8"};
constexpr EncodingFault utf16_be{"is UTF-16 text (big-endian)",
                                 "convert it to UTF-8: iconv -f UTF-16BE -t UTF-8"};
constexpr EncodingFault utf32_le{"is UTF-32 text (little-endian)",
                                 "convert it to UTF-8: iconv -f UTF-32LE -t UTF-8"};
constexpr EncodingFault utf32_be{"is UTF-32 text (big-endian)",
                                 "convert it to UTF-8: iconv -f UTF-32BE -t UTF-8"};
constexpr EncodingFault binary{"is no text: it holds NUL bytes", "name a text file in UTF-8"};
constexpr EncodingFault foreign{"is not UTF-8 text",
                                "convert it to UTF-8, as with: iconv -f ISO-8859-1 -t UTF-8"};

constexpr std::size_t tolerated = 200;  // one byte in so many

std::size_t foreign_bytes(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size();) {
        const int length = utf8_sequence(text, at);
        count += length < 0 ? 1u : 0u;
        at += length < 0 ? 1u : static_cast<std::size_t>(length);
    }
    return count;
}

}  // namespace

EncodingFault encoding_fault(std::string_view text) {
    if (text.starts_with("\xFF\xFE\0\0"sv)) return utf32_le;
    if (text.starts_with("\0\0\xFE\xFF"sv)) return utf32_be;
    if (text.starts_with("\xFF\xFE"sv)) return utf16_le;
    if (text.starts_with("\xFE\xFF"sv)) return utf16_be;
    // Without a mark: Latin letters, digits, spaces and line ends have their NUL bytes at fixed
    // places of every two or four.
    std::array<std::size_t, 4> nuls{};
    for (std::size_t i = 0; i < text.size(); ++i) nuls[i % 4] += text[i] == '\0' ? 1u : 0u;
    const std::size_t all = nuls[0] + nuls[1] + nuls[2] + nuls[3];
    if (all * tolerated > text.size()) {
        const std::size_t even = nuls[0] + nuls[2], odd = nuls[1] + nuls[3];
        const std::size_t quarter = text.size() / 4;
        if (nuls[2] * 10 > quarter * 9 && nuls[3] * 10 > quarter * 9) return utf32_le;
        if (nuls[0] * 10 > quarter * 9 && nuls[1] * 10 > quarter * 9) return utf32_be;
        if (odd > 4 * even) return utf16_le;
        if (even > 4 * odd) return utf16_be;
        return binary;
    }
    if (foreign_bytes(text) * tolerated > text.size()) return foreign;
    return {};
}

}  // namespace vq
