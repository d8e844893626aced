// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "io/tokenizers/added_tokens.h"
#include "io/tokenizers/bpe.h"
#include "io/tokenizers/tokenizer_json_fields.h"
#include "io/tokenizers/tokenizer_steps.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

using nlohmann::json;

// A text repeats its words: the ids of short pre-tokens are remembered during one encode call, up
// to this many of them.
constexpr std::size_t max_cached_words = 1 << 16;
constexpr std::size_t max_cached_bytes = 64;

/// Ids before and after a text.
struct Template {
    std::vector<TokenId> before;
    std::vector<TokenId> after;
};

/// Ids of a special token of a TemplateProcessing step.
std::vector<TokenId> template_ids(const json& tokens, const std::string& name,
                                  const std::string& where) {
    const json& ids = json_field(json_field(tokens, name.c_str(), where), "ids", where);
    if (!ids.is_array())
        throw Error(fmt::format("ids of special token \"{}\" are not an array", name), where,
                    "download tokenizer.json again");
    std::vector<TokenId> out;
    for (const json& id : ids) {
        if (!id.is_number_unsigned() ||
            id.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<TokenId>::max()})
            throw Error(fmt::format("special token \"{}\" has no valid id", name), where,
                        "download tokenizer.json again");
        out.push_back(id.get<TokenId>());
    }
    return out;
}

void apply_template(const json& step, const std::string& where, Template& around) {
    const json& items = json_field(step, "single", where);
    const json& tokens = json_field(step, "special_tokens", where);
    if (!items.is_array())
        throw Error("template is not a list", where, "download tokenizer.json again");
    Template added;
    bool seen_text = false;
    for (const json& item : items) {
        if (item.contains("Sequence")) {
            if (seen_text)
                throw Error("template repeats the text", where, "such templates are not supported");
            seen_text = true;
            continue;
        }
        const std::string name = json_string(json_field(item, "SpecialToken", where), "id", where);
        auto& side = seen_text ? added.after : added.before;
        for (const TokenId id : template_ids(tokens, name, where)) side.push_back(id);
    }
    if (!seen_text)
        throw Error("template leaves the text out", where, "such templates are not supported");
    around.before.insert(around.before.begin(), added.before.begin(), added.before.end());
    around.after.insert(around.after.end(), added.after.begin(), added.after.end());
}

class JsonTokenizer final : public Tokenizer {
public:
    JsonTokenizer(const json& file, const FolderTokens& folder, const std::string& where)
        : model_(json_field(file, "model", where), where),
          normalizers_(make_normalizers(json_field_or_null(file, "normalizer"), where)),
          pre_tokenizers_(make_pre_tokenizers(json_field_or_null(file, "pre_tokenizer"), where)),
          decoders_(make_decoders(json_field_or_null(file, "decoder"), where)) {
        for (const auto& [token, id] : model_.vocab()) {
            tokens_.emplace(id, token);
            vocab_size_ = std::max<std::int64_t>(vocab_size_, std::int64_t{id} + 1);
        }
        next_id_ = static_cast<std::int64_t>(model_.vocab().size());
        add_added_tokens(json_field_or_null(file, "added_tokens"), where);
        add_folder_tokens(folder, where);
        build_matchers();
        for (const json* step :
             json_steps(json_field_or_null(file, "post_processor"), "processors", where)) {
            const std::string type = json_string(*step, "type", where);
            if (type == "TemplateProcessing") {
                apply_template(*step, where, around_);
            } else if (type != "ByteLevel") {  // which changes offsets only
                throw Error(fmt::format("post-processor \"{}\" is not supported", type), where,
                            "supported are TemplateProcessing, ByteLevel, Sequence");
            }
        }
    }

    std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
        std::vector<TokenId> out;
        if (add_special) out = around_.before;
        std::string repaired;
        if (!is_valid_utf8(text)) {
            repaired = replace_invalid_utf8(text);
            text = repaired;
        }
        PieceList list = extract_added_tokens(text);
        for (const PreTokenizer& step : pre_tokenizers_) step(list);
        encode_pieces(list, out);
        if (add_special) out.insert(out.end(), around_.after.begin(), around_.after.end());
        return out;
    }

    std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
        std::vector<std::string> tokens;
        tokens.reserve(ids.size());
        for (const TokenId id : ids) {
            if (skip_special && special_.contains(id)) continue;
            if (const auto it = tokens_.find(id); it != tokens_.end()) tokens.push_back(it->second);
        }
        for (const TokenDecoder& step : decoders_) step(tokens);
        std::string out;
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            if (i > 0 && decoders_.empty()) out += ' ';
            out += tokens[i];
        }
        return out;
    }

    std::int64_t vocab_size() const override { return vocab_size_; }

    TokenId id_of(std::string_view token) const override {
        const auto it = added_ids_.find(token);
        return it != added_ids_.end() ? it->second : model_.id_of(token);
    }

private:
    std::string normalized(std::string text) const {
        for (const Normalizer& step : normalizers_) text = step(std::move(text));
        return text;
    }

    /// A token that the model lacks gets the next free id, whatever the file says, as in the
    /// `tokenizers` package. One that is known has its flags replaced.
    void add_token(AddedToken token, const std::string& where) {
        if (token.content.empty()) return;
        token.id = id_of(token.content);
        if (token.id < 0) {
            if (next_id_ > std::numeric_limits<TokenId>::max())
                throw Error("too many tokens", where, "download tokenizer.json again");
            token.id = static_cast<TokenId>(next_id_++);
        }
        added_ids_.insert_or_assign(token.content, token.id);
        vocab_size_ = std::max<std::int64_t>(vocab_size_, std::int64_t{token.id} + 1);
        const auto [place, is_new] = places_.emplace(token.id, added_.size());
        if (is_new)
            added_.push_back(std::move(token));
        else
            added_[place->second] = std::move(token);
    }

    void add_added_tokens(const json& list, const std::string& where) {
        if (list.is_null()) return;
        if (!list.is_array())
            throw Error("added_tokens is not an array", where, "download tokenizer.json again");
        for (const json& entry : list) add_token(json_added_token(entry, where), where);
    }

    void add_folder_tokens(const FolderTokens& folder, const std::string& where) {
        for (const AddedToken& token : folder.added) add_token(token, where);
        for (const AddedToken& token : folder.special) {
            const auto known = added_ids_.find(token.content);
            if (known == added_ids_.end())
                add_token(token, where);
            else
                added_[places_.at(known->second)].special = true;
        }
    }

    void build_matchers() {
        for (const AddedToken& token : added_) {
            const std::string form = token.normalized ? normalized(token.content) : token.content;
            tokens_.insert_or_assign(token.id, form);
            if (token.special) special_.insert(token.id);
            (token.normalized ? normalized_added_ : plain_added_).add(form, token);
        }
    }

    /// Splits at plain added tokens, normalizes what lies between, splits at normalized ones.
    PieceList extract_added_tokens(std::string_view text) const {
        PieceList list;
        for (const auto& outer : plain_added_.split(text)) {
            const std::string_view part = text.substr(outer.begin, outer.end - outer.begin);
            const std::size_t base = list.text.size();
            if (outer.id >= 0) {
                list.text += part;
                list.pieces.push_back({base, list.text.size(), outer.id, outer.begin == 0});
                continue;
            }
            list.text += normalizers_.empty() ? std::string(part) : normalized(std::string(part));
            const std::string_view now = std::string_view(list.text).substr(base);
            for (const auto& inner : normalized_added_.split(now))
                list.pieces.push_back({base + inner.begin, base + inner.end, inner.id,
                                       outer.begin == 0 && inner.begin == 0});
        }
        return list;
    }

    void encode_pieces(const PieceList& list, std::vector<TokenId>& out) const {
        // word -> where its ids stand in `out`
        std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> seen;
        const std::string_view text = list.text;
        for (const PieceList::Piece& piece : list.pieces) {
            if (piece.id >= 0) {
                out.push_back(piece.id);
                continue;
            }
            const std::string_view word = text.substr(piece.begin, piece.end - piece.begin);
            const bool short_word = word.size() <= max_cached_bytes;
            if (short_word) {
                if (const auto it = seen.find(word); it != seen.end()) {
                    const auto [begin, end] = it->second;
                    for (std::size_t i = begin; i < end; ++i) out.push_back(out[i]);
                    continue;
                }
            }
            const std::size_t begin = out.size();
            model_.encode(word, out);
            if (short_word && seen.size() < max_cached_words)
                seen.emplace(word, std::pair(begin, out.size()));
        }
    }

    BpeModel model_;
    std::vector<Normalizer> normalizers_;
    std::vector<PreTokenizer> pre_tokenizers_;
    std::vector<TokenDecoder> decoders_;
    std::vector<AddedToken> added_;
    std::unordered_map<TokenId, std::size_t> places_;  // id -> index into added_
    std::int64_t next_id_ = 0;
    AddedTokenMatcher plain_added_;
    AddedTokenMatcher normalized_added_;
    TokenMap added_ids_;
    std::unordered_map<TokenId, std::string> tokens_;  // id -> what decoders see
    std::unordered_set<TokenId> special_;
    Template around_;
    std::int64_t vocab_size_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer_json(std::string_view text, const FolderTokens& folder,
                                               const std::string& where) {
    json file;
    try {
        file = json::parse(text);
    } catch (const json::exception& e) {
        throw Error(fmt::format("not valid JSON ({})", e.what()), where,
                    "download tokenizer.json again");
    }
    if (!file.is_object()) throw Error("not a JSON object", where, "download tokenizer.json again");
    return std::make_unique<JsonTokenizer>(file, folder, where);
}

}  // namespace vq
