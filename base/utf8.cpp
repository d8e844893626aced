// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <cstdlib>

namespace vq {
namespace {

constexpr char32_t replacement_char = 0xFFFD;

}  // namespace

int utf8_sequence(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) -> int {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : -1;
    };
    const int lead = byte(at);
    if (lead < 0x80) return 1;
    int count = 0;
    int low = 0x80;
    int high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        count = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        count = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        count = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return -1;
    }
    for (int i = 1; i < count; ++i, low = 0x80, high = 0xBF) {
        const int next = byte(at + static_cast<std::size_t>(i));
        if (next < low || next > high) return -i;
    }
    return count;
}

CodePoint decode_utf8(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
    };
    const char32_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
    if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
    return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F),
            4};
}

void append_utf8(std::string& out, char32_t value) {
    const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (value < 0x80) {
        put(value);
    } else if (value < 0x800) {
        put(0xC0 | value >> 6);
        put(0x80 | (value & 0x3F));
    } else if (value < 0x10000) {
        put(0xE0 | value >> 12);
        put(0x80 | (value >> 6 & 0x3F));
        put(0x80 | (value & 0x3F));
    } else {
        put(0xF0 | value >> 18);
        put(0x80 | (value >> 12 & 0x3F));
        put(0x80 | (value >> 6 & 0x3F));
        put(0x80 | (value & 0x3F));
    }
}

bool is_valid_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const int length = utf8_sequence(text, at);
        if (length < 0) return false;
        at += static_cast<std::size_t>(length);
    }
    return true;
}

std::string replace_invalid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const int length = utf8_sequence(text, at);
        const auto bytes = static_cast<std::size_t>(std::abs(length));
        if (length > 0) {
            out.append(text.substr(at, bytes));
        } else {
            append_utf8(out, replacement_char);
        }
        at += bytes;
    }
    return out;
}

}  // namespace vq
