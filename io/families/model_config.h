// SPDX-License-Identifier: Apache-2.0
// What a model is made of, from config.json (transformers 4 and 5 spellings) or from GGUF metadata:
// its numbers and every tensor, whatever the family calls them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/families/family.h"
#include "io/families/layer_config.h"

namespace vq {

/// What every block takes of a token beside the stream (Gemma 4): with x the scaled embedding of a
/// token and e its row of `embedding`, the part of each block, `width` values, is
///   (norm(projection x / sqrt(hidden)) + sqrt(width) e) / sqrt(2)
struct LayerInputs {
    std::int64_t width = 0;  ///< 0: there are none
    ModelTensor embedding;
    ModelTensor projection;
    ModelTensor norm;
};

struct ModelConfig {
    std::string architecture;  ///< the family's name, for messages
    std::int64_t vocab_size = 0;
    std::int64_t hidden_size = 0;
    std::int64_t max_position = 0;
    NormKind norm = NormKind::rms;
    double norm_eps = 1e-5;
    double embedding_scale = 1;  ///< of a token's row where the network begins
    double logit_scale = 1;
    double logit_softcap = 0;       ///< above 0: a logit l becomes softcap * tanh(l / softcap)
    std::vector<RopeConfig> ropes;  ///< AttentionConfig::rope says which
    bool tie_embeddings = false;    ///< the embedding serves as head; the file has no head
    ModelTensor embedding;
    LayerInputs layer_inputs;
    std::vector<LayerConfig> layers;
    ModelTensor final_norm;
    ModelTensor head;
    std::vector<std::int64_t> bos_ids;  ///< empty when the model has none
    std::vector<std::int64_t> eos_ids;
    /// Beginnings of names of tensors that the text model has no use for: they stay as they are.
    std::vector<std::string> foreign;
    /// Tensors that files may hold although no block has use for them: they are left out.
    std::vector<ModelTensor> unused;
    std::vector<std::string> notes;  ///< what a user of the file should know
    std::string hf_json;             ///< config.json verbatim, or synthesised from GGUF metadata

    std::int64_t n_layers() const { return static_cast<std::int64_t>(layers.size()); }
    /// The tensor that makes logits: the head, or the embedding where they are tied.
    const ModelTensor& output() const { return tie_embeddings ? embedding : head; }
};

/// Every tensor of the model, in the order of the network, with its block or null.
template <class F>
void for_each_tensor(const ModelConfig& config, F&& use) {
    constexpr const LayerConfig* of_model = nullptr;
    use(config.embedding, of_model);
    if (config.layer_inputs.width > 0)
        for (const ModelTensor* tensor :
             {&config.layer_inputs.embedding, &config.layer_inputs.projection,
              &config.layer_inputs.norm})
            use(*tensor, of_model);
    for (const LayerConfig& layer : config.layers)
        for (const ModelTensor& tensor : layer.tensors) use(tensor, &layer);
    use(config.final_norm, of_model);
    if (!config.tie_embeddings) use(config.head, of_model);
}

/// A tensor is none of the model's own, see ModelConfig::foreign.
bool is_foreign(const ModelConfig& config, std::string_view name);

/// A tensor that no block has use for, see ModelConfig::unused.
bool is_unused(const ModelConfig& config, std::string_view name);

/// The head is a tensor of its own: config and its JSON say so from now on.
void untie(ModelConfig& config);

/// Parses and checks config.json. `where` names the file in errors. Throws Error on a family that
/// `table` does not have, a missing or absurd number, a key whose effect is not known, or a setting
/// that no model has. Writers name the tensors of some wrappers in different ways: `has` tells
/// which tensors the file at hand has.
ModelConfig parse_hf_config(std::string_view json_text, const std::string& where,
                            std::span<const Family> table = families(),
                            const std::function<bool(const std::string&)>& has = {});

}  // namespace vq
