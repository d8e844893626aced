// SPDX-License-Identifier: Apache-2.0
// The text steps of tokenizer.json, each a function built from its JSON object:
// normalizers (text -> text), pre-tokenizers (pieces -> smaller pieces), decoders (tokens -> text).
// Each builder flattens "Sequence" and throws Error, naming the type, for a step that is not
// supported.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/tokenizers/tokenizer.h"

namespace vq {

/// A text cut into pieces. Steps replace `text` when they change it.
struct PieceList {
    struct Piece {
        std::size_t begin = 0;
        std::size_t end = 0;
        TokenId id = -1;        ///< an added token: steps leave it alone
        bool is_first = false;  ///< the piece starts where the whole text starts
    };
    std::string text;
    std::vector<Piece> pieces;
};

using Normalizer = std::function<std::string(std::string)>;
using PreTokenizer = std::function<void(PieceList&)>;
using TokenDecoder = std::function<void(std::vector<std::string>&)>;

/// `step` is the value of "normalizer" (null: no steps). Supported: Sequence, NFC, Replace,
/// Prepend, Strip, ByteLevel.
std::vector<Normalizer> make_normalizers(const nlohmann::json& step, const std::string& where);

/// `step` is the value of "pre_tokenizer" (null: no steps). Supported: Sequence, ByteLevel, Digits,
/// Split, Metaspace, Whitespace, WhitespaceSplit.
std::vector<PreTokenizer> make_pre_tokenizers(const nlohmann::json& step, const std::string& where);

/// `step` is the value of "decoder" (null: no steps). Supported: Sequence, ByteLevel, ByteFallback,
/// Fuse, Metaspace, Replace, Strip.
std::vector<TokenDecoder> make_decoders(const nlohmann::json& step, const std::string& where);

/// A "Replace" step, which serves as a normalizer and as a decoder.
std::function<std::string(std::string_view)> make_replace(const nlohmann::json& step,
                                                          const std::string& where);

}  // namespace vq
