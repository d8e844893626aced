// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer.h"

#include "base/error.h"
#include "io/tokenizers/tokenizer_json.h"
#include "io/tokenizers/tokenizer_sentencepiece.h"

namespace vq {

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerFiles& files, const std::string& where) {
    if (const auto it = files.find("tokenizer.json"); it != files.end())
        return load_tokenizer_json(it->second, where + ": tokenizer.json");
    if (const auto it = files.find("tokenizer.model"); it != files.end()) {
        const auto config = files.find("tokenizer_config.json");
        return load_sentencepiece(it->second, config == files.end() ? "" : config->second,
                                  where + ": tokenizer.model");
    }
    throw Error("no tokenizer", where, "put tokenizer.json or tokenizer.model beside the weights");
}

}  // namespace vq
