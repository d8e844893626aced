// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_regex.h"

#include <fmt/format.h>

#include <array>
#include <new>
#include <optional>

#include "base/error.h"
#include "io/tokenizers/regex_pattern.h"
#include "io/tokenizers/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace vq {

struct Regex::Code {
    pcre2_code* code = nullptr;
    std::string pattern;
    std::string where;
    Code() = default;
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;
    ~Code() { pcre2_code_free(code); }
};

Regex::Regex(const std::string& pattern, const std::string& where) {
    auto code = std::make_shared<Code>();
    code->pattern = pattern;
    code->where = where;
    int error = 0;
    PCRE2_SIZE offset = 0;
    const std::string translated = pcre_pattern(pattern, where);
    // The library's default newline is chosen when it is built.
    const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
        pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
    if (!context) throw std::bad_alloc();
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                               PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                               &error, &offset, context.get());
    if (code->code == nullptr) {
        std::array<PCRE2_UCHAR, 256> message{};
        pcre2_get_error_message(error, message.data(), message.size());
        throw Error(fmt::format("regular expression \"{}\" does not compile ({})", pattern,
                                reinterpret_cast<const char*>(message.data())),
                    where, "only patterns that PCRE2 understands are supported");
    }
    pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // without a JIT matching is only slower
    code_ = std::move(code);
}

std::vector<Span> Regex::split(std::string_view text) const {
    std::vector<Span> out;
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
        pcre2_match_data_create_from_pattern(code_->code, nullptr), pcre2_match_data_free);
    if (!data) throw std::bad_alloc();
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t covered = 0;              // bytes already in `out`
    std::size_t from = 0;                 // where to look for the next match
    std::optional<std::size_t> last_end;  // of the match before
    while (from <= text.size() && !text.empty()) {
        int count = pcre2_match(code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                data.get(), nullptr);
        if (count == PCRE2_ERROR_JIT_STACKLIMIT)
            count = pcre2_match(code_->code, subject, text.size(), from,
                                PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), nullptr);
        if (count == PCRE2_ERROR_NOMATCH) break;
        if (count < 0)
            throw Error(
                fmt::format("matching \"{}\" failed with PCRE2 error {}", code_->pattern, count),
                code_->where, "the pattern needs too many steps on this text");
        const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
        const std::size_t begin = ends[0];
        const std::size_t end = ends[1];
        if (end <= begin && last_end == begin) {  // not one behind the other: go on
            if (from >= text.size()) break;
            from += static_cast<std::size_t>(decode_utf8(text, from).bytes);
            continue;
        }
        if (covered < begin) out.push_back({covered, begin, false});
        out.push_back({begin, end, true});
        covered = from = end;
        last_end = end;
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
    return out;
}

std::vector<Span> split_at_string(std::string_view text, std::string_view needle) {
    std::vector<Span> out;
    std::size_t covered = 0;
    if (!needle.empty()) {
        for (std::size_t at = text.find(needle); at != std::string_view::npos;
             at = text.find(needle, covered)) {
            if (covered < at) out.push_back({covered, at, false});
            covered = at + needle.size();
            out.push_back({at, covered, true});
        }
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
    return out;
}

}  // namespace vq
