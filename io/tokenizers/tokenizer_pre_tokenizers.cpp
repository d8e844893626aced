// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "io/tokenizers/tokenizer_json_fields.h"
#include "io/tokenizers/tokenizer_regex.h"
#include "io/tokenizers/tokenizer_steps.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

using nlohmann::json;
using Splitter = std::function<std::vector<Span>(std::string_view)>;
using Piece = PieceList::Piece;

constexpr const char* gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// What becomes of the matches of a pattern.
enum class Behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

Behavior parse_behavior(const std::string& name, const std::string& where) {
    if (name == "Isolated") return Behavior::isolated;
    if (name == "Removed") return Behavior::removed;
    if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
    if (name == "MergedWithNext") return Behavior::merged_with_next;
    if (name == "Contiguous") return Behavior::contiguous;
    throw Error(fmt::format("split behavior \"{}\" is not supported", name), where,
                "supported are Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

/// Spans that cover a text -> spans to keep. A run of adjacent matches is merged with its neighbour
/// only once: "--x" with MergedWithNext gives "-", "-x".
std::vector<Span> apply_behavior(std::vector<Span> spans, Behavior behavior) {
    std::vector<Span> out;
    switch (behavior) {
        case Behavior::isolated: return spans;
        case Behavior::removed:
            std::erase_if(spans, [](const Span& span) { return span.match; });
            return spans;
        case Behavior::contiguous:
            for (const Span& span : spans) {
                if (!out.empty() && span.match == out.back().match) {
                    out.back().end = span.end;
                } else {
                    out.push_back(span);
                }
            }
            return out;
        case Behavior::merged_with_previous:
            for (std::size_t i = 0; i < spans.size(); ++i) {
                if (i > 0 && spans[i].match && !spans[i - 1].match) {
                    out.back().end = spans[i].end;
                } else {
                    out.push_back(spans[i]);
                }
            }
            return out;
        case Behavior::merged_with_next:
            for (std::size_t i = spans.size(); i-- > 0;) {
                if (i + 1 < spans.size() && spans[i].match && !spans[i + 1].match) {
                    out.back().begin = spans[i].begin;
                } else {
                    out.push_back(spans[i]);
                }
            }
            return {out.rbegin(), out.rend()};
    }
    return spans;
}

/// Spans of single characters for which `test` holds, and what lies between them.
template <class Test>
Splitter split_at_chars(Test test) {
    return [test](std::string_view text) {
        std::vector<Span> out;
        std::size_t covered = 0;
        for (std::size_t at = 0; at < text.size();) {
            const CodePoint point = decode_utf8(text, at);
            const std::size_t end = at + static_cast<std::size_t>(point.bytes);
            if (test(point.value)) {
                if (covered < at) out.push_back({covered, at, false});
                out.push_back({at, end, true});
                covered = end;
            }
            at = end;
        }
        if (covered < text.size()) out.push_back({covered, text.size(), false});
        return out;
    };
}

void split_pieces(PieceList& list, const Splitter& split, Behavior behavior, bool invert) {
    std::vector<Piece> out;
    out.reserve(list.pieces.size());
    const std::string_view text = list.text;
    for (const Piece& piece : list.pieces) {
        if (piece.id >= 0) {
            out.push_back(piece);
            continue;
        }
        std::vector<Span> spans = split(text.substr(piece.begin, piece.end - piece.begin));
        if (invert)
            for (Span& span : spans) span.match = !span.match;
        for (const Span& span : apply_behavior(std::move(spans), behavior)) {
            if (span.begin == span.end) continue;  // an empty match
            out.push_back({piece.begin + span.begin, piece.begin + span.end, -1,
                           piece.is_first && span.begin == 0});
        }
    }
    list.pieces = std::move(out);
}

/// Rewrites every piece that is not an added token.
template <class Change>
void rewrite_pieces(PieceList& list, Change change) {
    std::string text;
    text.reserve(list.text.size() + list.text.size() / 2);
    for (Piece& piece : list.pieces) {
        const std::size_t begin = text.size();
        const std::string_view old =
            std::string_view(list.text).substr(piece.begin, piece.end - piece.begin);
        if (piece.id >= 0) {
            text += old;
        } else {
            change(old, piece, text);
        }
        piece.begin = begin;
        piece.end = text.size();
    }
    list.text = std::move(text);
}

void add_byte_level(const json& step, const std::string& where, std::vector<PreTokenizer>& out) {
    if (json_bool(step, "add_prefix_space", true, where))
        out.emplace_back([](PieceList& list) {
            rewrite_pieces(list, [](std::string_view old, const Piece&, std::string& text) {
                if (!old.starts_with(' ')) text += ' ';
                text += old;
            });
        });
    if (json_bool(step, "use_regex", true, where))
        out.emplace_back([regex = Regex(gpt2_pattern, where)](PieceList& list) {
            split_pieces(
                list, [&](std::string_view t) { return regex.split(t); }, Behavior::isolated,
                false);
        });
    out.emplace_back([](PieceList& list) {
        rewrite_pieces(list, [](std::string_view old, const Piece&, std::string& text) {
            for (const char c : old)
                append_utf8(text, byte_level_char(static_cast<std::uint8_t>(c)));
        });
    });
}

void add_metaspace(const json& step, const std::string& where, std::vector<PreTokenizer>& out) {
    const std::string mark = json_string(step, "replacement", where);
    std::string scheme =
        step.contains("prepend_scheme") ? json_string(step, "prepend_scheme", where) : "always";
    if (!json_bool(step, "add_prefix_space", true, where)) scheme = "never";
    if (scheme != "always" && scheme != "first" && scheme != "never")
        throw Error(fmt::format("Metaspace prepend_scheme \"{}\" is not supported", scheme), where,
                    "supported are always, first, never");
    if (mark.empty() || static_cast<std::size_t>(decode_utf8(mark, 0).bytes) != mark.size())
        throw Error(fmt::format("Metaspace replacement \"{}\" is not one character", mark), where,
                    "download tokenizer.json again");
    out.emplace_back([mark, scheme](PieceList& list) {
        rewrite_pieces(list, [&](std::string_view old, const Piece& piece, std::string& text) {
            const bool prepend = scheme == "always" || (scheme == "first" && piece.is_first);
            if (prepend && !old.starts_with(' ') && !old.starts_with(mark)) text += mark;
            for (const char c : old) {
                if (c == ' ') {
                    text += mark;
                } else {
                    text += c;
                }
            }
        });
    });
    if (json_bool(step, "split", true, where))
        out.emplace_back([mark](PieceList& list) {
            split_pieces(
                list, [&](std::string_view t) { return split_at_string(t, mark); },
                Behavior::merged_with_next, false);
        });
}

PreTokenizer make_split(const json& step, const std::string& where) {
    const JsonPattern pattern = json_pattern(step, "pattern", where);
    const Behavior behavior = parse_behavior(json_string(step, "behavior", where), where);
    const bool invert = json_bool(step, "invert", false, where);
    Splitter split;
    if (pattern.is_regex) {
        split = [regex = Regex(pattern.text, where)](std::string_view t) { return regex.split(t); };
    } else {
        split = [needle = pattern.text](std::string_view t) { return split_at_string(t, needle); };
    }
    return [split = std::move(split), behavior, invert](PieceList& list) {
        split_pieces(list, split, behavior, invert);
    };
}

/// Runs of word characters, runs of what is neither word character nor white space, and (a match)
/// runs of white space.
std::vector<Span> split_words(std::string_view text) {
    const auto kind = [](char32_t c) { return is_white_space(c) ? 0 : is_word(c) ? 1 : 2; };
    std::vector<Span> out;
    int last = -1;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = decode_utf8(text, at);
        const std::size_t end = at + static_cast<std::size_t>(point.bytes);
        if (const int now = kind(point.value); now == last) {
            out.back().end = end;
        } else {
            out.push_back({at, end, now == 0});
            last = now;
        }
        at = end;
    }
    return out;
}

}  // namespace

std::vector<PreTokenizer> make_pre_tokenizers(const json& step, const std::string& where) {
    std::vector<PreTokenizer> out;
    const auto add = [&](Splitter split, Behavior behavior) {
        out.emplace_back([split = std::move(split), behavior](PieceList& list) {
            split_pieces(list, split, behavior, false);
        });
    };
    for (const json* s : json_steps(step, "pretokenizers", where)) {
        const std::string type = json_string(*s, "type", where);
        if (type == "ByteLevel") {
            add_byte_level(*s, where, out);
        } else if (type == "Digits") {
            add(split_at_chars(is_numeric), json_bool(*s, "individual_digits", false, where)
                                                ? Behavior::isolated
                                                : Behavior::contiguous);
        } else if (type == "Split") {
            out.push_back(make_split(*s, where));
        } else if (type == "Metaspace") {
            add_metaspace(*s, where, out);
        } else if (type == "Whitespace") {
            add(split_words, Behavior::removed);
        } else if (type == "WhitespaceSplit") {
            add(split_at_chars(is_white_space), Behavior::removed);
        } else {
            throw Error(fmt::format("pre-tokenizer \"{}\" is not supported", type), where,
                        "supported are ByteLevel, Digits, Split, Metaspace, Whitespace, "
                        "WhitespaceSplit, Sequence");
        }
    }
    return out;
}

}  // namespace vq
