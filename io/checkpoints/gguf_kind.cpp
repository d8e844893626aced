// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoints/gguf_kind.h"

#include <array>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vq {
namespace {

/// What general.type or general.architecture of other files than language models says.
struct OtherKind {
    std::string_view name;
    const char* what;
    const char* todo;
};

constexpr const char* vision = "holds the vision or audio part of a model (mmproj)";
constexpr const char* adapter = "holds an adapter (LoRA), not a model";
constexpr const char* imatrix = "holds an importance matrix, not a model";
constexpr const char* give_model = "give the file with the language model";

constexpr std::array other_kinds{
    OtherKind{"clip", vision, give_model},
    OtherKind{"mmproj", vision, give_model},
    OtherKind{"adapter", adapter, "merge it into its model first"},
    OtherKind{"imatrix", imatrix, give_model},
    OtherKind{"controlvector", "holds a control vector, not a model", give_model},
};

}  // namespace

const GgufFile& checked_model_file(const GgufFile& file) {
    const auto fail = [&](const std::string& what, const char* todo) {
        throw Error(what, file.path(), todo);
    };
    for (const char* key : {"general.type", "general.architecture"}) {
        const auto said = file.get_string(key);
        for (const OtherKind& kind : other_kinds)
            if (said && *said == kind.name) fail(kind.what, kind.todo);
    }
    if (file.has("imatrix.chunk_count")) fail(imatrix, give_model);
    if (file.tensors().empty())
        fail(file.has("tokenizer.ggml.tokens") ? "holds a vocabulary and no weights"
                                               : "holds no weights",
             give_model);
    if (!file.has("general.architecture"))
        fail("does not say which model it holds (general.architecture is missing)",
             "convert the model again");
    return file;
}

}  // namespace vq
