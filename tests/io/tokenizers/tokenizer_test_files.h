// SPDX-License-Identifier: Apache-2.0
// Tokenizers for the tests: the ones in data/, and a tiny one to make variants of.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "io/tokenizers/tokenizer.h"

namespace vq {

inline std::string read_test_file(const std::string& name) {
    const std::string path = std::string(VQKIT_TEST_DATA) + "/tokenizers/data/" + name;
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The tokenizer.json or tokenizer.model of data/<name>.
inline TokenizerFiles test_tokenizer_files(const std::string& name) {
    const char* file = name.starts_with("spm") ? "tokenizer.model" : "tokenizer.json";
    return {{file, read_test_file(name + "/" + file)}};
}

/// A BPE on the letters a to e with merges ab, cd, abcd; no pre-tokenizer.
inline nlohmann::json tiny_tokenizer() {
    return nlohmann::json::parse(R"({
        "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "unk_token": null,
                  "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "ab": 5, "cd": 6, "abcd": 7},
                  "merges": ["a b", "c d", "ab cd"]}})");
}

inline std::unique_ptr<Tokenizer> load(const nlohmann::json& tokenizer_json) {
    return load_tokenizer({{"tokenizer.json", tokenizer_json.dump()}}, "checkpoint");
}

}  // namespace vq
