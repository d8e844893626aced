// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/bpe.h"

#include <fmt/format.h>

#include <bit>
#include <limits>
#include <queue>

#include "base/error.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

using nlohmann::json;

constexpr std::size_t short_word = 48;  // above, a heap beats scanning all ranks at every merge

/// A flag that may be missing or null.
bool flag(const json& model, const char* key, const std::string& where) {
    const auto it = model.find(key);
    if (it == model.end() || it->is_null()) return false;
    if (!it->is_boolean())
        throw Error(fmt::format("model.{} is not true or false", key), where, "repair the file");
    return it->get<bool>();
}

/// A string that may be missing or null (then empty).
std::string text(const json& model, const char* key, const std::string& where) {
    const auto it = model.find(key);
    if (it == model.end() || it->is_null()) return {};
    if (!it->is_string())
        throw Error(fmt::format("model.{} is not a string", key), where, "repair the file");
    return it->get<std::string>();
}

std::uint64_t pair_key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
}

/// Mixes all bits of the pair into the low ones.
std::size_t pair_slot(std::uint64_t pair, std::size_t mask) {
    pair *= 0x9E3779B97F4A7C15ull;
    return static_cast<std::size_t>(pair ^ pair >> 32) & mask;
}

}  // namespace

BpeModel::BpeModel(const json& model, const std::string& where) : where_(where) {
    if (!model.is_object()) throw Error("model is not an object", where, "repair the file");
    const std::string type = text(model, "type", where);
    if (!type.empty() && type != "BPE")
        throw Error(fmt::format("model type \"{}\" is not supported", type), where,
                    "use a checkpoint with a BPE or sentencepiece tokenizer");
    if (const auto it = model.find("dropout");
        it != model.end() && !it->is_null() && !(it->is_number() && it->get<double>() == 0))
        throw Error("BPE dropout is not supported", where, "set model.dropout to null");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (!text(model, key, where).empty())
            throw Error(fmt::format("model.{} is not supported", key), where,
                        "use a byte-level BPE tokenizer");
    fuse_unk_ = flag(model, "fuse_unk", where);
    byte_fallback_ = flag(model, "byte_fallback", where);
    ignore_merges_ = flag(model, "ignore_merges", where);
    unk_token_ = text(model, "unk_token", where);

    const auto vocab = model.find("vocab");
    const auto merges = model.find("merges");
    if (vocab == model.end() || !vocab->is_object())
        throw Error("model.vocab is missing or not an object", where, "repair the file");
    if (merges == model.end() || !merges->is_array())
        throw Error("model.merges is missing or not an array", where, "repair the file");
    vocab_.reserve(vocab->size());
    for (const auto& [token, id] : vocab->items()) {
        if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
            id.get<std::int64_t>() > std::numeric_limits<TokenId>::max() ||
            (id.is_number_unsigned() && id.get<std::uint64_t>() > 0x7FFFFFFFu))
            throw Error(fmt::format("id {} of token \"{}\" is not a token id", id.dump(), token),
                        where, "ids are integers from 0 to 2147483647");
        vocab_.emplace(token, id.get<TokenId>());
    }
    if (!unk_token_.empty()) unk_id_ = id_of(unk_token_);

    char_ids_.assign(0x3000, -1);
    for (std::size_t i = 0; i < char_ids_.size(); ++i) {
        std::string c;
        append_utf8(c, static_cast<char32_t>(i));
        char_ids_[i] = id_of(c);
    }
    byte_ids_.assign(256, -1);
    for (std::size_t i = 0; i < 256; ++i) byte_ids_[i] = id_of(fmt::format("<0x{:02X}>", i));

    merges_.resize(std::bit_ceil(2 * merges->size() + 1));
    std::uint32_t rank = 0;
    for (const json& merge : *merges) {
        if (merge.is_string()) {
            const auto& line = merge.get_ref<const std::string&>();
            if (line.starts_with("#version")) continue;
            const std::size_t space = line.find(' ');
            if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos)
                throw Error(fmt::format("merge {} (\"{}\") is not two tokens", rank, line), where,
                            "repair the file");
            add_merge(std::string_view(line).substr(0, space),
                      std::string_view(line).substr(space + 1), rank, where);
        } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                   merge[1].is_string()) {
            add_merge(merge[0].get_ref<const std::string&>(),
                      merge[1].get_ref<const std::string&>(), rank, where);
        } else {
            throw Error(fmt::format("merge {} is not two tokens", rank), where, "repair the file");
        }
        ++rank;
    }
}

TokenId BpeModel::id_of(std::string_view token) const {
    const auto it = vocab_.find(token);
    return it == vocab_.end() ? -1 : it->second;
}

void BpeModel::add_merge(std::string_view left, std::string_view right, std::uint32_t rank,
                         const std::string& where) {
    std::string whole(left);
    whole += right;
    Merge merge{0, rank, id_of(whole)};
    const TokenId left_id = id_of(left);
    const TokenId right_id = id_of(right);
    if (left_id < 0 || right_id < 0 || merge.id < 0)
        throw Error(fmt::format("merge {} (\"{}\" + \"{}\") names a token that is not in the "
                                "vocabulary",
                                rank, left, right),
                    where, "repair the file");
    merge.pair = pair_key(left_id, right_id);
    const std::size_t mask = merges_.size() - 1;
    std::size_t slot = pair_slot(merge.pair, mask);
    while (merges_[slot].id >= 0 && merges_[slot].pair != merge.pair) slot = (slot + 1) & mask;
    merges_[slot] = merge;  // a pair given twice has its last rank
}

const BpeModel::Merge* BpeModel::find_merge(TokenId left, TokenId right) const {
    const std::uint64_t pair = pair_key(left, right);
    const std::size_t mask = merges_.size() - 1;
    for (std::size_t slot = pair_slot(pair, mask); merges_[slot].id >= 0; slot = (slot + 1) & mask)
        if (merges_[slot].pair == pair) return &merges_[slot];
    return nullptr;
}

void BpeModel::append_symbols(std::string_view word, std::vector<TokenId>& symbols) const {
    bool pending_unk = false;  // an unknown token waits for its successor: it may grow (fuse_unk)
    for (std::size_t at = 0; at < word.size();) {
        const CodePoint point = decode_utf8(word, at);
        const std::string_view character = word.substr(at, static_cast<std::size_t>(point.bytes));
        at += static_cast<std::size_t>(point.bytes);
        const TokenId id =
            point.value < char_ids_.size() ? char_ids_[point.value] : id_of(character);
        if (id >= 0) {
            if (pending_unk) symbols.push_back(unk_id_);
            pending_unk = false;
            symbols.push_back(id);
            continue;
        }
        if (byte_fallback_) {
            bool all = true;
            for (const char c : character) all &= byte_ids_[static_cast<unsigned char>(c)] >= 0;
            if (all) {
                for (const char c : character)
                    symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
                continue;
            }
        }
        if (unk_token_.empty()) continue;
        if (unk_id_ < 0)
            throw Error(
                fmt::format("the unknown token \"{}\" is not in the vocabulary", unk_token_),
                where_, "add it to model.vocab");
        if (pending_unk && !fuse_unk_) symbols.push_back(unk_id_);
        pending_unk = true;
    }
    if (pending_unk) symbols.push_back(unk_id_);
}

void BpeModel::encode(std::string_view word, std::vector<TokenId>& out) const {
    if (ignore_merges_) {
        if (const TokenId id = id_of(word); id >= 0) {
            out.push_back(id);
            return;
        }
    }
    std::vector<TokenId> symbols;
    symbols.reserve(word.size());
    append_symbols(word, symbols);
    if (symbols.size() <= short_word) {
        merge_short(symbols);
    } else {
        merge_long(symbols);
    }
    out.insert(out.end(), symbols.begin(), symbols.end());
}

void BpeModel::merge_short(std::vector<TokenId>& symbols) const {
    constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    std::vector<std::uint32_t> ranks(symbols.size(), none);  // of the pair (i, i + 1)
    std::vector<TokenId> merged(symbols.size(), -1);
    const auto look_up = [&](std::size_t i) {
        const Merge* merge =
            i + 1 < symbols.size() ? find_merge(symbols[i], symbols[i + 1]) : nullptr;
        ranks[i] = merge != nullptr ? merge->rank : none;
        merged[i] = merge != nullptr ? merge->id : -1;
    };
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) look_up(i);
    while (symbols.size() > 1) {
        std::size_t best = 0;
        for (std::size_t i = 1; i < symbols.size(); ++i)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == none) break;
        const auto at = static_cast<std::ptrdiff_t>(best);
        symbols[best] = merged[best];
        symbols.erase(symbols.begin() + at + 1);
        ranks.erase(ranks.begin() + at + 1);
        merged.erase(merged.begin() + at + 1);
        look_up(best);
        if (best > 0) look_up(best - 1);
    }
}

void BpeModel::merge_long(std::vector<TokenId>& symbols) const {
    struct Link {
        std::ptrdiff_t previous;
        std::ptrdiff_t next;  // -1: none
    };
    struct Candidate {
        std::uint32_t rank;
        TokenId id;
        std::size_t at;
        std::uint64_t pair;  // what stood there then: a candidate whose pair has changed is stale
        bool operator>(const Candidate& other) const {
            return rank != other.rank ? rank > other.rank : at > other.at;
        }
    };
    const auto count = static_cast<std::ptrdiff_t>(symbols.size());
    std::vector<Link> links(symbols.size());
    for (std::ptrdiff_t i = 0; i < count; ++i)
        links[static_cast<std::size_t>(i)] = {i - 1, i + 1 < count ? i + 1 : -1};
    std::vector<Candidate> initial;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
        if (const Merge* merge = find_merge(symbols[i], symbols[i + 1]))
            initial.push_back({merge->rank, merge->id, i, merge->pair});
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(
        std::greater<>{}, std::move(initial));
    const auto push = [&](std::ptrdiff_t left, std::ptrdiff_t right) {
        if (left < 0 || right < 0) return;
        const auto at = static_cast<std::size_t>(left);
        if (const Merge* merge = find_merge(symbols[at], symbols[static_cast<std::size_t>(right)]))
            queue.push({merge->rank, merge->id, at, merge->pair});
    };
    while (!queue.empty()) {
        const Candidate top = queue.top();
        queue.pop();
        const std::ptrdiff_t next = links[top.at].next;
        if (symbols[top.at] < 0 || next < 0) continue;
        const auto right = static_cast<std::size_t>(next);
        if (pair_key(symbols[top.at], symbols[right]) != top.pair) continue;
        symbols[top.at] = top.id;
        symbols[right] = -1;  // gone
        links[top.at].next = links[right].next;
        if (links[right].next >= 0)
            links[static_cast<std::size_t>(links[right].next)].previous =
                static_cast<std::ptrdiff_t>(top.at);
        push(links[top.at].previous, static_cast<std::ptrdiff_t>(top.at));
        push(static_cast<std::ptrdiff_t>(top.at), links[top.at].next);
    }
    std::erase_if(symbols, [](TokenId id) { return id < 0; });
}

}  // namespace vq
