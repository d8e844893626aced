// SPDX-License-Identifier: Apache-2.0
// The table itself: rows of all kinds, one behind the other.
#include "io/families/rows.h"

namespace vq {
namespace {

std::vector<Family> all_rows() {
    std::vector<Family> all;
    for (auto part : {rows::dense_rows, rows::gemma_rows, rows::norm_rows, rows::mixture_rows,
                      rows::latent_rows, rows::hybrid_rows})
        for (Family& family : part()) all.push_back(std::move(family));
    return all;
}

}  // namespace

std::span<const Family> families() {
    static const std::vector<Family> table = all_rows();
    return table;
}

std::span<const Wrapper> wrappers() {
    static const std::vector<Wrapper> table = {
        {"gemma3",
         "Gemma3ForConditionalGeneration",
         "gemma3_text",
         {{"language_model.model.", "language_model."}, {"model.language_model.", ""}}},
        {"gemma4",
         "Gemma4ForConditionalGeneration",
         "gemma4_text",
         {{"model.language_model.", ""}, {"language_model.model.", "language_model."}}},
        {"mistral3",
         "Mistral3ForConditionalGeneration",
         "mistral",
         {{"language_model.model.", "language_model."}, {"model.language_model.", ""}}},
        {"qwen3_5",
         "Qwen3_5ForConditionalGeneration",
         "qwen3_5_text",
         {{"model.language_model.", ""}, {"language_model.model.", "language_model."}}},
        {"qwen3_5_moe",
         "Qwen3_5MoeForConditionalGeneration",
         "qwen3_5_moe_text",
         {{"model.language_model.", ""}, {"language_model.model.", "language_model."}}},
        {"llama4",
         "Llama4ForConditionalGeneration",
         "llama4_text",
         {{"language_model.model.", "language_model."}, {"model.language_model.", ""}}},
    };
    return table;
}

}  // namespace vq
