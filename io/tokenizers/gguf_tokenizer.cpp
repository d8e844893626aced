// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/gguf_tokenizer.h"

#include <fmt/format.h>

#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "io/tokenizers/gguf_pre_tokenizers.h"

namespace vq {
namespace {

constexpr const char* convert_again = "convert the model again";

/// Numbered alike in GGUF files and in sentencepiece models.
enum class TokenType : std::int64_t { normal = 1, unknown, control, user_defined, unused, byte };

bool is_added(TokenType type) {
    return type == TokenType::unknown || type == TokenType::control ||
           type == TokenType::user_defined;
}

struct Vocabulary {
    std::vector<std::string_view> tokens;
    std::vector<TokenType> types;
    std::optional<std::int64_t> bos, eos, unknown, padding;
    bool add_bos = false, add_eos = false;
};

[[noreturn]] void fail(const GgufFile& file, const std::string& key, const std::string& what) {
    throw Error(what, file.path() + ": tokenizer.ggml." + key, convert_again);
}

/// Vocabularies are pruned, and ids of tokens that they had stay behind.
std::optional<std::int64_t> token_id(const GgufFile& file, const std::string& key,
                                     std::size_t count, std::vector<std::string>& notes) {
    const auto id = file.get_int("tokenizer.ggml." + key);
    if (!id || *id == 0xFFFFFFFF || *id == -1) return std::nullopt;  // both stand for none
    if (*id >= 0 && *id < static_cast<std::int64_t>(count)) return id;
    notes.push_back(
        fmt::format("{}: tokenizer.ggml.{} is {}, and the vocabulary ends at {}: it is left "
                    "out",
                    file.path(), key, *id, count));
    return std::nullopt;
}

Vocabulary read_vocabulary(const GgufFile& file, bool add_bos_default,
                           std::vector<std::string>& notes) {
    Vocabulary vocab;
    auto tokens = file.get_strings("tokenizer.ggml.tokens");
    if (!tokens || tokens->empty()) fail(file, "tokens", "list of tokens is missing");
    if (tokens->size() > (1u << 24)) fail(file, "tokens", "list of tokens is absurdly long");
    vocab.tokens = std::move(*tokens);
    vocab.types.assign(vocab.tokens.size(), TokenType::normal);
    if (const auto types = file.get_ints("tokenizer.ggml.token_type")) {
        if (types->size() != vocab.tokens.size())
            fail(file, "token_type",
                 fmt::format("{} types for {} tokens", types->size(), vocab.tokens.size()));
        for (std::size_t i = 0; i < types->size(); ++i) {
            const std::int64_t type = (*types)[i];
            if (type < 0 || type > 6)
                fail(file, "token_type", fmt::format("unknown type {}", type));
            if (type != 0) vocab.types[i] = static_cast<TokenType>(type);
        }
    }
    std::unordered_set<std::string_view> seen;
    for (std::size_t i = 0; i < vocab.tokens.size(); ++i)
        if (vocab.types[i] != TokenType::unused && !seen.insert(vocab.tokens[i]).second)
            fail(file, "tokens", fmt::format("token {} stands twice in the list", i));
    const std::size_t count = vocab.tokens.size();
    vocab.bos = token_id(file, "bos_token_id", count, notes);
    vocab.eos = token_id(file, "eos_token_id", count, notes);
    vocab.unknown = token_id(file, "unknown_token_id", count, notes);
    vocab.padding = token_id(file, "padding_token_id", count, notes);
    vocab.add_bos = file.get_bool("tokenizer.ggml.add_bos_token").value_or(add_bos_default);
    vocab.add_eos = file.get_bool("tokenizer.ggml.add_eos_token").value_or(false);
    for (const auto& [flag, id, key] : {std::tuple{&vocab.add_bos, &vocab.bos, "bos_token_id"},
                                        std::tuple{&vocab.add_eos, &vocab.eos, "eos_token_id"}}) {
        if (!*flag || *id) continue;
        if (!file.has(std::string("tokenizer.ggml.") + key)) fail(file, key, "token id is missing");
        *flag = false;  // it was left out, with a note
    }
    return vocab;
}

/// A JSON string literal. Throws nlohmann's type_error when the text is not UTF-8.
std::string quoted(std::string_view text) {
    return Json(text).dump();
}

Json optional_token(const Vocabulary& vocab, std::optional<std::int64_t> id) {
    if (!id) return nullptr;
    return std::string(vocab.tokens[static_cast<std::size_t>(*id)]);
}

/// What tokenizer.json and tokenizer_config.json say about an added token. Vocabularies are large,
/// so lists of tokens are written as text: an ordered JSON object takes quadratic time to fill.
std::string added_token_fields(const Vocabulary& vocab, std::size_t i) {
    return fmt::format(R"("content": {}, "single_word": false, "lstrip": false, "rstrip": false, )"
                       R"("normalized": false, "special": {}}})",
                       quoted(vocab.tokens[i]), vocab.types[i] != TokenType::user_defined);
}

/// Opens `json` again, which ends with '}', to append members to it.
std::string reopened(const Json& json) {
    std::string text = json.dump(2);
    text.erase(text.find_last_not_of("}\n") + 1);
    return text;
}

std::string tokenizer_config(const GgufFile& file, const Vocabulary& vocab, bool sentencepiece) {
    Json json;
    json["add_bos_token"] = vocab.add_bos;
    json["add_eos_token"] = vocab.add_eos;
    json["bos_token"] = optional_token(vocab, vocab.bos);
    json["eos_token"] = optional_token(vocab, vocab.eos);
    json["unk_token"] = optional_token(vocab, vocab.unknown);
    json["pad_token"] = optional_token(vocab, vocab.padding);
    json["clean_up_tokenization_spaces"] = false;
    if (sentencepiece) {
        json["add_prefix_space"] = file.get_bool("tokenizer.ggml.add_space_prefix").value_or(true);
        json["legacy"] = false;
    }
    json["tokenizer_class"] = sentencepiece ? "LlamaTokenizer" : "PreTrainedTokenizerFast";
    if (const auto chat = file.get_string("tokenizer.chat_template")) json["chat_template"] = *chat;
    std::string text = reopened(json) + ",\n  \"added_tokens_decoder\": {";
    const char* separator = "\n";
    for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
        if (!is_added(vocab.types[i])) continue;
        text += fmt::format("{}    \"{}\": {{{}", separator, i, added_token_fields(vocab, i));
        separator = ",\n";
    }
    return text + "\n  }\n}\n";
}

/// BOS and EOS around a text, as a TemplateProcessing step; null when neither is added.
Json post_processor(const Vocabulary& vocab) {
    if (!vocab.add_bos && !vocab.add_eos) return nullptr;
    Json special = Json::object();
    const auto token = [&](std::optional<std::int64_t> id, int type) -> Json {
        const std::string text(vocab.tokens[static_cast<std::size_t>(*id)]);
        special[text] = {
            {"id", text}, {"ids", Json::array({*id})}, {"tokens", Json::array({text})}};
        return {{"SpecialToken", {{"id", text}, {"type_id", type}}}};
    };
    const auto around = [&](Json& steps, const char* sequence, int type) {
        if (vocab.add_bos) steps.push_back(token(vocab.bos, type));
        steps.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
        if (vocab.add_eos) steps.push_back(token(vocab.eos, type));
    };
    Json single = Json::array();
    around(single, "A", 0);
    Json pair = single;
    around(pair, "B", 1);
    return {{"type", "TemplateProcessing"},
            {"single", single},
            {"pair", pair},
            {"special_tokens", special}};
}

/// Gemma's BPE works on characters, a space written as U+2581, with bytes for what it lacks.
Json gemma_normalizer() {
    return {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xE2\x96\x81"}};
}

Json gemma_decoder() {
    const Json replace = {
        {"type", "Replace"}, {"pattern", {{"String", "\xE2\x96\x81"}}}, {"content", " "}};
    return {{"type", "Sequence"},
            {"decoders", Json::array({replace, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}})}};
}

std::string tokenizer_json(const GgufFile& file, const Vocabulary& vocab,
                           const PreTokenizerSteps& pre, bool byte_level) {
    const auto merges = file.get_strings("tokenizer.ggml.merges");
    if (!merges) fail(file, "merges", "list of merges is missing");
    std::string text =
        "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
        "  \"added_tokens\": [";
    const char* separator = "\n";
    for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
        if (!is_added(vocab.types[i])) continue;
        text += fmt::format("{}    {{\"id\": {}, {}", separator, i, added_token_fields(vocab, i));
        separator = ",\n";
    }
    text +=
        "\n  ],\n  \"normalizer\": " + (byte_level ? pre.normalizer : gemma_normalizer()).dump();
    text += ",\n  \"pre_tokenizer\": " + pre.pre_tokenizer.dump();
    text += ",\n  \"post_processor\": " + post_processor(vocab).dump();
    text += ",\n  \"decoder\": " + (byte_level ? byte_level_step(true) : gemma_decoder()).dump();
    text += fmt::format(
        ",\n  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
        "    \"unk_token\": {0},\n    \"continuing_subword_prefix\": null,\n"
        "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": {1},\n"
        "    \"byte_fallback\": {1},\n    \"ignore_merges\": {2},\n"
        "    \"vocab\": {{",
        byte_level ? "null" : optional_token(vocab, vocab.unknown).dump(), !byte_level,
        pre.ignore_merges);
    separator = "\n";
    for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
        if (vocab.types[i] == TokenType::unused) continue;  // filler that no text leads to
        text += fmt::format("{}      {}: {}", separator, quoted(vocab.tokens[i]), i);
        separator = ",\n";
    }
    text += "\n    },\n    \"merges\": [";
    separator = "\n";
    for (const std::string_view merge : *merges) {
        const std::size_t space = merge.find(' ');
        if (space == 0 || space == std::string_view::npos || space + 1 == merge.size())
            fail(file, "merges", "merge is not two tokens with a space between them");
        text += separator;
        text += "      " + quoted(merge);
        separator = ",\n";
    }
    return text + "\n    ]\n  }\n}\n";
}

/// Protocol-buffer messages, as far as a sentencepiece model needs them.
class Message {
public:
    void varint_field(int field, std::uint64_t value) {
        varint(static_cast<std::uint64_t>(field) << 3);
        varint(value);
    }
    /// int32 fields are sign-extended to 64 bits.
    void int_field(int field, std::int64_t value) {
        varint_field(field, static_cast<std::uint64_t>(value));
    }
    void float_field(int field, float value) {
        varint(static_cast<std::uint64_t>(field) << 3 | 5);
        char bytes[sizeof(value)];
        std::memcpy(bytes, &value, sizeof(value));
        text_.append(bytes, sizeof(value));
    }
    void bytes_field(int field, std::string_view value) {
        varint(static_cast<std::uint64_t>(field) << 3 | 2);
        varint(value.size());
        text_.append(value);
    }
    const std::string& text() const { return text_; }

private:
    void varint(std::uint64_t value) {
        for (; value >= 128; value >>= 7) text_.push_back(static_cast<char>((value & 127) | 128));
        text_.push_back(static_cast<char>(value));
    }
    std::string text_;
};

std::string with_visible_spaces(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == ' ')
            out += "\xE2\x96\x81";  // U+2581, which stands for a space inside pieces
        else
            out += c;
    }
    return out;
}

/// Field numbers are those of sentencepiece_model.proto.
std::string sentencepiece_model(const GgufFile& file, const Vocabulary& vocab) {
    const auto scores = file.get_floats("tokenizer.ggml.scores");
    if (!scores) fail(file, "scores", "list of scores is missing");
    if (scores->size() != vocab.tokens.size())
        fail(file, "scores",
             fmt::format("{} scores for {} tokens", scores->size(), vocab.tokens.size()));
    const std::int64_t unknown = vocab.unknown.value_or(0);
    std::int64_t byte_pieces = 0;
    Message model;
    for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
        if (vocab.tokens[i].empty()) fail(file, "tokens", fmt::format("token {} is empty", i));
        TokenType type = vocab.types[i];
        // Exactly one piece may be the unknown one.
        if (type == TokenType::unknown) type = TokenType::control;
        if (static_cast<std::int64_t>(i) == unknown) type = TokenType::unknown;
        byte_pieces += type == TokenType::byte ? 1 : 0;
        Message piece;
        piece.bytes_field(1, type == TokenType::user_defined ? with_visible_spaces(vocab.tokens[i])
                                                             : std::string(vocab.tokens[i]));
        piece.float_field(2, (*scores)[i]);
        piece.int_field(3, static_cast<std::int64_t>(type));
        model.bytes_field(1, piece.text());
    }
    if (byte_pieces != 0 && byte_pieces != 256)
        fail(file, "token_type", fmt::format("{} byte tokens, not 256", byte_pieces));

    Message trainer;
    trainer.int_field(3, 2);  // BPE
    trainer.int_field(4, static_cast<std::int64_t>(vocab.tokens.size()));
    trainer.varint_field(35, byte_pieces != 0 ? 1 : 0);
    trainer.int_field(40, unknown);
    trainer.int_field(41, vocab.bos.value_or(-1));
    trainer.int_field(42, vocab.eos.value_or(-1));
    trainer.int_field(43, vocab.padding.value_or(-1));
    const auto piece_name = [&](int field, std::optional<std::int64_t> id) {
        if (id) trainer.bytes_field(field, vocab.tokens[static_cast<std::size_t>(*id)]);
    };
    piece_name(45, unknown);
    piece_name(46, vocab.bos);
    piece_name(47, vocab.eos);
    piece_name(48, vocab.padding);
    model.bytes_field(2, trainer.text());

    Message normalizer;
    normalizer.bytes_field(1, "identity");
    if (const GgufValue* map = file.find("tokenizer.ggml.precompiled_charsmap")) {
        const auto* array = std::get_if<GgufArray>(&map->value);
        if (array == nullptr || (array->type != GgufType::u8 && array->type != GgufType::i8))
            fail(file, "precompiled_charsmap", "value is not an array of bytes");
        normalizer.bytes_field(
            2, {reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size()});
    }
    const auto flag = [&](const char* key, bool fallback) -> std::uint64_t {
        return file.get_bool(std::string("tokenizer.ggml.") + key).value_or(fallback) ? 1 : 0;
    };
    normalizer.varint_field(3, flag("add_space_prefix", true));
    normalizer.varint_field(4, flag("remove_extra_whitespaces", false));
    normalizer.varint_field(5, 1);  // spaces are escaped as U+2581
    model.bytes_field(3, normalizer.text());
    return model.text();
}

}  // namespace

TokenizerFiles gguf_tokenizer_files(const GgufFile& file, std::vector<std::string>& notes) {
    const std::string kind = file.get_string("tokenizer.ggml.model").value_or("none");
    if (kind == "none" || kind == "no_vocab") return {};
    if (kind != "gpt2" && kind != "gemma4" && kind != "llama")
        throw Error(
            "tokenizer \"" + kind.substr(0, 60) + "\" is not supported",
            file.path() + ": tokenizer.ggml.model",
            "use a model with a gpt2, gemma4 or llama tokenizer, or its safetensors folder");
    if (!file.has("tokenizer.ggml.tokens")) return {};
    TokenizerFiles files;
    try {
        if (kind == "gpt2" || kind == "gemma4") {
            const PreTokenizerSteps pre =
                kind == "gpt2" ? gguf_pre_tokenizer(file, notes) : PreTokenizerSteps{};
            const Vocabulary vocab = read_vocabulary(file, pre.add_bos, notes);
            files["tokenizer.json"] = tokenizer_json(file, vocab, pre, kind == "gpt2");
            files["tokenizer_config.json"] = tokenizer_config(file, vocab, false);
        } else {
            const Vocabulary vocab = read_vocabulary(file, true, notes);
            files["tokenizer.model"] = sentencepiece_model(file, vocab);
            files["tokenizer_config.json"] = tokenizer_config(file, vocab, true);
        }
    } catch (const nlohmann::json::exception&) {
        fail(file, "tokens", "text is not valid UTF-8");
    }
    return files;
}

}  // namespace vq
