// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_sentencepiece.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/error.h"
#include "io/tokenizers/added_tokens.h"
#include "io/tokenizers/bpe.h"
#include "io/tokenizers/tokenizer_json_fields.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

using nlohmann::json;

void check(const sentencepiece::util::Status& status, const char* what, const std::string& where) {
    if (!status.ok())
        throw Error(fmt::format("sentencepiece cannot {} ({})", what, status.ToString()), where,
                    "download tokenizer.model again");
}

// A protocol-buffer message that is read after another of the same type overrides its fields:
// normalizer_spec { add_dummy_prefix: false }.
constexpr std::string_view no_leading_space("\x1A\x02\x18\x00", 4);

class SentencePieceTokenizer final : public Tokenizer {
public:
    SentencePieceTokenizer(std::string_view model, const json& config, const std::string& where)
        : where_(where) {
        check(processor_.LoadFromSerializedProto(model), "read the model", where);
        vocab_size_ = processor_.GetPieceSize();
        if (!config.is_null()) {
            add_bos_ = json_bool(config, "add_bos_token", true, where);
            add_eos_ = json_bool(config, "add_eos_token", false, where);
            if (const auto it = config.find("added_tokens_decoder"); it != config.end())
                add_added_tokens(*it, where);
            if (!json_bool(config, "legacy", true, where)) {
                continuation_ = std::make_unique<sentencepiece::SentencePieceProcessor>();
                const std::string changed = std::string(model).append(no_leading_space);
                check(continuation_->LoadFromSerializedProto(changed), "read the model", where);
            }
        }
    }

    std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
        std::string repaired;
        if (!is_valid_utf8(text)) {
            repaired = replace_invalid_utf8(text);
            text = repaired;
        }
        std::vector<TokenId> out;
        if (add_special && add_bos_ && processor_.bos_id() >= 0) out.push_back(processor_.bos_id());
        for (const auto& piece : added_.split(text)) {
            if (piece.id >= 0) {
                out.push_back(piece.id);
                continue;
            }
            std::vector<int> ids;
            check(processor_at(piece.begin == 0)
                      .Encode(text.substr(piece.begin, piece.end - piece.begin), &ids),
                  "encode the text", where_);
            out.insert(out.end(), ids.begin(), ids.end());
        }
        if (add_special && add_eos_ && processor_.eos_id() >= 0) out.push_back(processor_.eos_id());
        return out;
    }

    std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
        std::string out;
        std::vector<int> run;  // ids between added and control tokens
        const auto flush = [&] {
            if (run.empty()) return;
            std::string text;
            check(processor_at(out.empty()).Decode(run, &text), "decode the ids", where_);
            out += text;
            run.clear();
        };
        for (const TokenId id : ids) {
            if (const auto it = added_by_id_.find(id); it != added_by_id_.end()) {
                if (skip_special && it->second.special) continue;
                flush();
                out += it->second.content;
            } else if (id < 0 || id >= processor_.GetPieceSize()) {
                continue;
            } else if (processor_.IsControl(id)) {
                if (skip_special) continue;
                flush();
                out += processor_.IdToPiece(id);
            } else {
                run.push_back(id);
            }
        }
        flush();
        return out;
    }

    std::int64_t vocab_size() const override { return vocab_size_; }

    TokenId id_of(std::string_view token) const override {
        if (const auto it = added_ids_.find(token); it != added_ids_.end()) return it->second;
        // PieceToId answers the unknown token for pieces that it does not know.
        const int id = processor_.PieceToId(token);
        const bool known =
            id >= 0 && id < processor_.GetPieceSize() && processor_.IdToPiece(id) == token;
        return known ? id : -1;
    }

private:
    const sentencepiece::SentencePieceProcessor& processor_at(bool start_of_text) const {
        return start_of_text || continuation_ == nullptr ? processor_ : *continuation_;
    }

    /// {"32000": {"content": "<pad>", ...}, ...}
    void add_added_tokens(const json& entries, const std::string& where) {
        if (!entries.is_object())
            throw Error("added_tokens_decoder is not an object", where,
                        "download tokenizer_config.json again");
        for (const auto& [key, entry] : entries.items()) {
            AddedToken token;
            const auto [end, error] =
                std::from_chars(key.data(), key.data() + key.size(), token.id);
            if (error != std::errc() || end != key.data() + key.size() || token.id < 0)
                throw Error(fmt::format("\"{}\" in added_tokens_decoder is not a token id", key),
                            where, "download tokenizer_config.json again");
            token.content = json_string(entry, "content", where);
            token.special = json_bool(entry, "special", false, where);
            token.lstrip = json_bool(entry, "lstrip", false, where);
            token.rstrip = json_bool(entry, "rstrip", false, where);
            token.single_word = json_bool(entry, "single_word", false, where);
            if (token.content.empty()) continue;
            added_.add(token.content, token);
            added_ids_.insert_or_assign(token.content, token.id);
            vocab_size_ = std::max<std::int64_t>(vocab_size_, std::int64_t{token.id} + 1);
            added_by_id_.insert_or_assign(token.id, token);
        }
    }

    sentencepiece::SentencePieceProcessor processor_;
    std::unique_ptr<sentencepiece::SentencePieceProcessor> continuation_;  // behind added tokens
    AddedTokenMatcher added_;
    TokenMap added_ids_;
    std::unordered_map<TokenId, AddedToken> added_by_id_;
    bool add_bos_ = true;
    bool add_eos_ = false;
    std::int64_t vocab_size_ = 0;
    std::string where_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(std::string_view model, std::string_view config,
                                              const std::string& where) {
    json parsed;
    if (!config.empty()) {
        try {
            parsed = json::parse(config);
        } catch (const json::exception& e) {
            throw Error(fmt::format("tokenizer_config.json is not valid JSON ({})", e.what()),
                        where, "download tokenizer_config.json again");
        }
        if (!parsed.is_object())
            throw Error("tokenizer_config.json is not a JSON object", where,
                        "download tokenizer_config.json again");
    }
    return std::make_unique<SentencePieceTokenizer>(model, parsed, where);
}

}  // namespace vq
