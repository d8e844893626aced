// SPDX-License-Identifier: Apache-2.0
// The BPE model of tokenizer.json: a pre-token becomes its characters' ids, then the adjacent pair
// with the lowest merge rank (leftmost on ties) is merged until no pair is left to merge
// (Sennrich et al. 2016).
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/tokenizers/tokenizer.h"

namespace vq {

/// string -> value, looked up by string_view without a copy.
struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};
using TokenMap = std::unordered_map<std::string, TokenId, StringHash, std::equal_to<>>;

class BpeModel {
public:
    /// `model`: the "model" object of tokenizer.json. Throws Error, naming the entry, when it is
    /// not a BPE model, uses what is not supported (dropout, subword prefix or suffix), or a merge
    /// names a token that the vocabulary lacks.
    BpeModel(const nlohmann::json& model, const std::string& where);

    /// Appends the ids of one pre-token (valid UTF-8). Throws Error when it needs an unknown token
    /// that the vocabulary lacks.
    void encode(std::string_view word, std::vector<TokenId>& out) const;

    const TokenMap& vocab() const { return vocab_; }
    /// -1 if there is no such token.
    TokenId id_of(std::string_view token) const;

private:
    struct Merge {
        std::uint64_t pair = 0;  // left id << 32 | right id
        std::uint32_t rank = 0;
        TokenId id = -1;  // -1: empty slot
    };

    void add_merge(std::string_view left, std::string_view right, std::uint32_t rank,
                   const std::string& where);
    const Merge* find_merge(TokenId left, TokenId right) const;
    void append_symbols(std::string_view word, std::vector<TokenId>& symbols) const;
    void merge_short(std::vector<TokenId>& symbols) const;
    void merge_long(std::vector<TokenId>& symbols) const;

    TokenMap vocab_;
    std::vector<TokenId> char_ids_;  // ids of the code points below its size; -1: none
    std::vector<TokenId> byte_ids_;  // "<0x00>" ... "<0xFF>"; -1: none
    std::vector<Merge> merges_;      // open addressing, a power of two, at most half full
    std::string unk_token_;          // empty: none
    TokenId unk_id_ = -1;
    bool fuse_unk_ = false;
    bool byte_fallback_ = false;
    bool ignore_merges_ = false;
    std::string where_;
};

}  // namespace vq
