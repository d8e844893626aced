// SPDX-License-Identifier: Apache-2.0
// Uses installed headers and libraries only: opens a model, encodes a text and decodes it again.
#include <cstdio>
#include <string>

#include "base/error.h"
#include "io/checkpoints/weight_source.h"
#include "io/tokenizers/tokenizer.h"

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        const auto model = vq::open_checkpoint(argv[1]);
        const auto tokenizer = vq::load_tokenizer(model->tokenizer_files(), argv[1]);
        const std::string text = "Anna had three red apples.";
        const auto ids = tokenizer->encode(text, false);
        const bool same = tokenizer->decode(ids, true) == text;
        std::printf("%s %d layers, %zu tokens, text %s\n", model->config().architecture.c_str(),
                    static_cast<int>(model->config().n_layers()), ids.size(),
                    same ? "unchanged" : "changed");
        return same ? 0 : 1;
    } catch (const vq::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
