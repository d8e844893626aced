// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers that GGUF files name (`tokenizer.ggml.pre`), as the steps of tokenizer.json
// that their models were published with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/gguf/gguf.h"

namespace vq {

/// How a named pre-tokenizer of GGUF files looks in tokenizer.json.
struct PreTokenizerSteps {
    Json normalizer;
    Json pre_tokenizer;
    bool ignore_merges = false;  ///< a piece that is a token as it stands is not merged
    bool add_bos = false;        ///< unless the file says otherwise
};

/// A ByteLevel step.
Json byte_level_step(bool use_regex);

/// Of a byte-level BPE. A file that names none, as converters left it before May 2024, is read as
/// what its vocabulary shows it to be, with a note. Throws Error on a name that is not known.
PreTokenizerSteps gguf_pre_tokenizer(const GgufFile& file, std::vector<std::string>& notes);

}  // namespace vq
