// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/tokenizers/folder_tokens.h"
#include "io/tokenizers/tokenizer_json.h"
#include "io/tokenizers/tokenizer_sentencepiece.h"

namespace vq {
namespace {

/// Whether tokenizer.json holds a unigram model. What is no JSON is left to its reader.
bool is_unigram(const std::string& tokenizer_json) {
    if (tokenizer_json.find("\"Unigram\"") == std::string::npos) return false;  // spares a parse
    const nlohmann::json file = nlohmann::json::parse(tokenizer_json, nullptr, false);
    if (!file.is_object() || !file.contains("model")) return false;
    const nlohmann::json& model = file["model"];
    return model.is_object() && model.contains("type") && model["type"] == "Unigram";
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerFiles& files, const std::string& where) {
    const auto json = files.find("tokenizer.json");
    const bool sentencepiece = files.contains("tokenizer.model");
    std::vector<std::string> notes;
    if (json != files.end()) {
        if (!sentencepiece || !is_unigram(json->second))
            return load_tokenizer_json(json->second, folder_tokens(files, where),
                                       where + ": tokenizer.json");
        notes.emplace_back(
            "the tokenizer is read from tokenizer.model: tokenizer.json beside it "
            "holds the same as a unigram model");
    }
    if (sentencepiece) return load_sentencepiece(files, where, std::move(notes));
    throw Error("model has no vocabulary, so it cannot read text", where,
                "put tokenizer.json or tokenizer.model beside the weights, or use a GGUF file that "
                "holds tokenizer.ggml.tokens");
}

}  // namespace vq
