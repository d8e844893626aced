// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_sentencepiece.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "base/error.h"
#include "io/tokenizers/added_tokens.h"
#include "io/tokenizers/bpe.h"
#include "io/tokenizers/folder_tokens.h"
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
    SentencePieceTokenizer(std::string_view model, const json& config, const FolderTokens& folder,
                           std::vector<std::string> notes, const std::string& where)
        : notes_(std::move(notes)), where_(where) {
        const bool has_config = !config.is_null();
        const bool prefix = !has_config || json_bool(config, "add_prefix_space", true, where);
        const std::string bare = std::string(model).append(no_leading_space);
        check(processor_.LoadFromSerializedProto(prefix ? model : bare), "read the model", where);
        vocab_size_ = processor_.GetPieceSize();
        if (has_config) {
            add_bos_ = json_bool(config, "add_bos_token", true, where);
            add_eos_ = json_bool(config, "add_eos_token", false, where);
            const json& name = json_field_or_null(config, "tokenizer_class");
            const bool legacy_class = name != "LlamaTokenizer" && name != "LlamaTokenizerFast";
            if (prefix && !json_bool(config, "legacy", legacy_class, where)) {
                continuation_ = std::make_unique<sentencepiece::SentencePieceProcessor>();
                check(continuation_->LoadFromSerializedProto(bare), "read the model", where);
            }
        }
        for (const AddedToken& token : folder.added) add_token(token);
        for (const AddedToken& token : folder.special) {
            const auto known = added_ids_.find(token.content);
            if (known == added_ids_.end())
                add_token(token);
            else
                added_by_id_.at(known->second).special = true;
        }
        for (const auto& [id, token] : added_by_id_) added_.add(token.content, token);
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
    std::vector<std::string> notes() const override { return notes_; }

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

    /// Keeps the id that a file gives; a name alone means the piece, or else the next free id.
    void add_token(AddedToken token) {
        if (token.content.empty()) return;
        if (token.id < 0) token.id = id_of(token.content);
        if (token.id < 0) {
            if (vocab_size_ > std::numeric_limits<TokenId>::max())
                throw Error("too many tokens", "tokenizer files", "download them again");
            token.id = static_cast<TokenId>(vocab_size_);
        }
        added_ids_.insert_or_assign(token.content, token.id);
        vocab_size_ = std::max<std::int64_t>(vocab_size_, std::int64_t{token.id} + 1);
        added_by_id_.insert_or_assign(token.id, std::move(token));
    }

    sentencepiece::SentencePieceProcessor processor_;
    std::unique_ptr<sentencepiece::SentencePieceProcessor> continuation_;  // behind added tokens
    AddedTokenMatcher added_;
    TokenMap added_ids_;
    std::map<TokenId, AddedToken> added_by_id_;
    bool add_bos_ = true;
    bool add_eos_ = false;
    std::int64_t vocab_size_ = 0;
    std::vector<std::string> notes_;
    std::string where_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const TokenizerFiles& files, const std::string& where,
                                              std::vector<std::string> notes) {
    return std::make_unique<SentencePieceTokenizer>(
        files.at("tokenizer.model"), folder_json(files, "tokenizer_config.json", where),
        folder_tokens(files, where), std::move(notes), where + ": tokenizer.model");
}

}  // namespace vq
