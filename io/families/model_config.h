// SPDX-License-Identifier: Apache-2.0
// What a model is made of, from config.json (transformers 4 and 5 spellings) or from GGUF metadata:
// its numbers and every tensor, whatever the family calls them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/families/family.h"

namespace vq {

/// Rotary positions: pair i of `dims` / 2 turns by position * theta^(-2i / dims), scaled. `llama3`
/// as in the Llama 3.1 configuration; `linear` divides positions by `factor`.
struct RopeConfig {
    enum class Scaling { none, linear, llama3 } scaling = Scaling::none;
    double theta = 10000.0;
    std::int64_t dims = 0;  ///< of a head, those that turn
    double factor = 1.0;
    double low_freq_factor = 1.0;
    double high_freq_factor = 4.0;
    std::int64_t original_max_position = 8192;
};

/// A tensor that the model calls for.
struct ModelTensor {
    TensorRole role = TensorRole::embedding;
    std::string name;       ///< HF name without ".weight": "model.layers.3.self_attn.q_proj"
    std::string gguf_name;  ///< without ".weight": "blk.3.attn_q"
    std::int64_t rows = 0;  ///< outputs; 1 for the weights of a norm
    std::int64_t cols = 0;  ///< inputs
    bool bias = false;      ///< name + ".bias", size (rows), is part of the model
    /// Above 0: a GGUF file holds the two halves of every rotary pair side by side, in the rows of
    /// so many heads.
    std::int64_t gguf_pair_heads = 0;
};

/// What may differ from block to block.
struct LayerConfig {
    std::int64_t n_heads = 0;
    std::int64_t n_kv_heads = 0;
    std::int64_t head_dim = 0;  ///< may differ from hidden_size / n_heads
    std::int64_t intermediate_size = 0;
    std::vector<ModelTensor> tensors;  ///< in the order of the network

    /// The block must have such a tensor: its absence is a fault of the program.
    const ModelTensor& tensor(TensorRole role) const;
};

struct ModelConfig {
    std::string architecture;  ///< the family's name, for messages
    std::int64_t vocab_size = 0;
    std::int64_t hidden_size = 0;
    std::int64_t max_position = 0;
    double rms_norm_eps = 1e-5;
    RopeConfig rope;
    bool tie_embeddings = false;  ///< the embedding serves as head; the file has no head
    ModelTensor embedding;
    std::vector<LayerConfig> layers;
    ModelTensor final_norm;
    ModelTensor head;
    std::vector<std::int64_t> bos_ids;  ///< empty when the model has none
    std::vector<std::int64_t> eos_ids;
    std::string hf_json;  ///< config.json verbatim, or synthesised from GGUF metadata

    std::int64_t n_layers() const { return static_cast<std::int64_t>(layers.size()); }
    /// The tensor that makes logits: the head, or the embedding where they are tied.
    const ModelTensor& output() const { return tie_embeddings ? embedding : head; }
};

/// Parses and checks config.json. `where` names the file in errors. Throws Error on a family that
/// `table` does not have, a missing or absurd number, a key whose effect is not known, or a setting
/// that the runtime cannot follow.
ModelConfig parse_hf_config(std::string_view json_text, const std::string& where,
                            std::span<const Family> table = families());

}  // namespace vq
