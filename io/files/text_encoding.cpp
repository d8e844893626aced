// SPDX-License-Identifier: Apache-2.0
#include "io/files/text_encoding.h"

#include <algorithm>
#include <array>
#include <cstddef>

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

/// Bytes of the UTF-8 sequence at text[at]; 0 when there is none.
std::size_t sequence_bytes(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) -> unsigned {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80) return 1;
    const std::size_t length = lead < 0xC2   ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    const unsigned second = byte(1);
    const bool bad = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
    return bad ? 0 : length;
}

std::size_t foreign_bytes(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = sequence_bytes(text, at);
        count += length == 0 ? 1u : 0u;
        at += std::max<std::size_t>(length, 1);
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
