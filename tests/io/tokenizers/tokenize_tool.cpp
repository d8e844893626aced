// SPDX-License-Identifier: Apache-2.0
// Runs the tokenizer of a folder over texts, for scripts/compare_tokenizers.py.
//   tokenize_tool DIR TEXTS.json OUT.json
// TEXTS.json: an array of strings. OUT.json: {"vocab_size", "seconds" (spent in encode),
// "plain": ids of each text without special tokens, "special": with them,
// "decoded": the text of "plain", "decoded_special": that of "special" without special tokens}.
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "io/tokenizers/tokenizer.h"

namespace {

using nlohmann::json;

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

int run(const std::string& folder, const std::string& texts_path, const std::string& out_path) {
    vq::TokenizerFiles files;
    for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                             "added_tokens.json", "special_tokens_map.json"}) {
        const std::string path = folder + "/" + name;
        if (std::ifstream(path).good()) files[name] = read_file(path);
    }
    const auto tokenizer = vq::load_tokenizer(files, folder);
    const json texts = json::parse(read_file(texts_path));
    json out = {{"vocab_size", tokenizer->vocab_size()}, {"seconds", 0.0}};
    double seconds = 0;
    for (const json& text : texts) {
        const auto& string = text.get_ref<const std::string&>();
        const auto start = std::chrono::steady_clock::now();
        const auto plain = tokenizer->encode(string, false);
        seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const auto special = tokenizer->encode(string, true);
        out["plain"].push_back(plain);
        out["special"].push_back(special);
        out["decoded"].push_back(tokenizer->decode(plain, false));
        out["decoded_special"].push_back(tokenizer->decode(special, true));
    }
    out["seconds"] = seconds;
    std::ofstream file(out_path, std::ios::binary);
    file << out.dump();
    return file.flush() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc == 4) return run(argv[1], argv[2], argv[3]);
        std::cerr << "usage: tokenize_tool DIR TEXTS.json OUT.json\n";
        return 2;
    } catch (const std::exception& e) {
        std::cerr << "error: " << e.what() << "\n";
        return 1;
    }
}
