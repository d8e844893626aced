// SPDX-License-Identifier: Apache-2.0
// Writes a model's logits for given token ids, for comparison with other implementations:
//   logits_tool MODEL TOKENS OUT [fp32|bf16]
// MODEL is a checkpoint, a store or a packed file. TOKENS holds int32 ids, OUT gets fp32 logits
// (tokens, vocab_size), both little-endian.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/hdf5/store.h"
#include "model/language_model.h"
#include "model/ops/packed_model.h"
#include "vq/tensor/stored_model.h"

namespace {

std::unique_ptr<vq::WeightSource> open_any(const std::string& path) {
    if (vq::is_packed(path)) return vq::open_packed_model(path);
    return vq::is_store(path) ? vq::open_stored_model(path) : vq::open_checkpoint(path);
}

void write_logits(const std::string& model_path, const std::string& tokens_path,
                  const std::string& out_path, const std::string& precision) {
    std::ifstream in(tokens_path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    if (!in.is_open() || bytes.empty() || bytes.size() % sizeof(vq::TokenId) != 0)
        throw vq::Error("not a file of int32 token ids", tokens_path, "write at least one id");
    std::vector<vq::TokenId> tokens(bytes.size() / sizeof(vq::TokenId));
    bytes.copy(reinterpret_cast<char*>(tokens.data()), bytes.size());

    const auto count = static_cast<vq::Index>(tokens.size());
    const auto source = open_any(model_path);
    const vq::LanguageModel model(*source, vq::parse_precision(precision), count, {});
    vq::Matrix hidden(count, model.config().hidden_size);
    model.forward(tokens, nullptr, hidden.data());
    vq::Matrix logits(count, model.config().vocab_size);
    model.head().apply(hidden.data(), count, logits.data(), model.scratch());
    std::ofstream out(out_path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(logits.data()),
              static_cast<std::streamsize>(sizeof(float)) * logits.size());
    out.close();
    if (!out) throw vq::Error("cannot write the logits", out_path, "check the path and the disk");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4 || argc > 5) {
        std::fprintf(stderr, "usage: logits_tool MODEL TOKENS OUT [fp32|bf16]\n");
        return 2;
    }
    try {
        write_logits(argv[1], argv[2], argv[3], argc == 5 ? argv[4] : "fp32");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
    return 0;
}
