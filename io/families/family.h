// SPDX-License-Identifier: Apache-2.0
// A family of models is one row of a table: what its tensors are called, which keys of its
// configuration are understood and which are known to change nothing. Loading alone reads rows;
// what they come to stands in ModelConfig, tensor by tensor, for everyone else.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/families/tensor_role.h"

namespace vq {

/// Roles of tensors that are vectors.
bool is_vector(TensorRole role);

/// When a linear layer has a bias. if_configured: when Setting::attention_bias says so.
enum class Bias : std::uint8_t { never, always, if_configured };

/// One tensor. Names are without ".weight"; "{}" stands for the number of the block, and a name
/// without it is of the whole model.
struct TensorNames {
    TensorRole role;
    const char* hf;
    const char* gguf;
    Bias bias = Bias::never;
};

/// What a key of config.json says, whatever it is called. Each has one reader, the same for all
/// families that have such a key.
enum class Setting : std::uint8_t {
    activation,  ///< of the MLP's gate: "silu" is the one that the runtime has
    vocab_size,
    hidden_size,
    intermediate_size,
    layers,
    heads,
    kv_heads,
    head_dim,
    max_position,
    norm_epsilon,
    rope_theta,
    rope_scaling,           ///< replaces rope_parameters where it says anything
    rope_parameters,        ///< scaling and theta together
    original_max_position,  ///< of rope scaling, where that does not say it itself
    tie_embeddings,
    attention_bias,
    use_window,   ///< sliding-window attention, which is refused
    layer_types,  ///< of attention, a list: "full_attention" is the one that the runtime has
    bos_ids,
    eos_ids,
    fixed,  ///< understood with a single value, ConfigKey::fallback
};

struct ConfigKey {
    Setting setting;
    const char* hf;
    /// The GGUF key behind "<architecture>." that says the same; null where metadata says it in
    /// other ways, or not at all.
    const char* gguf = nullptr;
    /// JSON that stands for a key that is absent or null. Null: the key is required, or what it
    /// stands for is derived from others.
    const char* fallback = nullptr;
};

struct Family {
    std::string_view model_type;         ///< in config.json
    std::string_view hf_class;           ///< in `architectures` of config.json
    std::string_view gguf_architecture;  ///< general.architecture
    /// GGUF files hold the rows of q and k with the two halves of every rotary pair side by side.
    bool gguf_interleaved_pairs = false;
    /// Every tensor of a model, in the order of the network.
    std::span<const TensorNames> tensors;
    /// In the order in which a config.json made from GGUF metadata gives them.
    std::span<const ConfigKey> keys;
    /// Keys without effect on this family's results, beside harmless_config_keys().
    std::span<const std::string_view> ignored_keys;
};

/// The table.
std::span<const Family> families();

/// Keys of config.json that change no result of any family: notes of the program that wrote the
/// file, settings of training and of sampling, ids of tokens that text alone is made with.
std::span<const std::string_view> harmless_config_keys();

/// Null when the row has no such key.
const ConfigKey* find_key(const Family& family, Setting setting);

/// "use a model of the architecture llama, mistral or qwen2", for errors.
std::string supported_architectures(std::span<const Family> table);

}  // namespace vq
