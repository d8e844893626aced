// SPDX-License-Identifier: Apache-2.0
// A family of models is one row of a table: what its blocks do, what its tensors are called, which
// keys of its configuration are understood and which are known to change nothing. Loading alone
// reads rows; what they come to stands in ModelConfig, tensor by tensor, for everyone else.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/families/layer_config.h"

namespace vq {

/// When a tensor has a bias: never, always, or when a setting says so (Setting::attention_bias,
/// attention_out_bias, mlp_bias).
enum class Bias : std::uint8_t { never, always, if_configured, if_out_configured, if_mlp };

/// One tensor. Names are without ".weight"; the first "{}" stands for the number of the block, the
/// second for an expert's, and a name without any is of the whole model.
struct TensorNames {
    TensorRole role = TensorRole::embedding;
    const char* hf = nullptr;
    /// Null where GGUF files have no such tensor; "a|b": rows of two tensors, one behind the other.
    /// One of a mixture stands for the experts of a block together.
    const char* gguf = nullptr;
    Bias bias = Bias::never;
    bool bare = false;                            ///< ModelTensor::bare
    ExpertLayout experts = ExpertLayout::single;  ///< ModelTensor::layout
    std::uint8_t dimensions = 0;                  ///< in files; 0: what the role has
};

/// What a key of config.json says, whatever it is called. Each has one reader, the same for all
/// families that have such a key.
enum class Setting : std::uint8_t {
    activation,  ///< of the MLP
    vocab_size,
    hidden_size,
    intermediate_size,
    layers,
    heads,
    kv_heads,
    head_dim,
    max_position,
    norm_epsilon,
    tie_embeddings,
    bos_ids,
    eos_ids,
    // Positions.
    rope_theta,
    rope_scaling,           ///< replaces rope_parameters where it says anything
    rope_parameters,        ///< scaling and theta together
    original_max_position,  ///< of rope scaling, where that does not say it itself
    partial_rotary,         ///< share of a head that turns
    rotary_dim,             ///< the same in dimensions
    local_rope_theta,       ///< of layers with a window
    rope_interleave,        ///< neighbours are a pair
    no_rope_layers,         ///< a list: 0 where heads do not turn
    no_rope_interval,       ///< every so many-th layer does not turn
    position_kind,          ///< "rope", or heads do not turn at all
    // Biases.
    attention_bias,
    attention_out_bias,
    mlp_bias,
    // Windows.
    sliding_window,
    use_window,
    max_window_layers,  ///< layers from this one on have windows
    layer_types,        ///< a list
    window_pattern,     ///< every so many-th layer has none
    chunk_size,
    // Scores and scalars.
    query_scalar,  ///< scores are divided by its root
    score_multiplier,
    embedding_multiplier,
    residual_multiplier,
    logit_divisor,
    logit_multiplier,
    score_softcap,
    logit_softcap,
    use_head_norm,
    // Layers without windows that have heads of their own kind (Gemma 4).
    full_head_dim,
    full_kv_heads,
    layer_overrides,    ///< an object: of layers by number
    keys_are_values,    ///< in layers without windows
    shared_key_layers,  ///< so many last layers use the keys of an earlier one
    double_wide,        ///< the MLPs of those are twice as wide
    // Inputs of every block (Gemma 4).
    layer_input_width,
    layer_input_vocab,
    // Queries that grow with the position (Llama 4).
    query_growth_on,
    query_growth,
    query_period,
    // Mixtures.
    mixture_on,  ///< blocks have a mixture beside their MLP
    experts,
    active_experts,
    expert_width,
    shared_experts,     ///< a number of experts
    shared_width,       ///< of all shared experts
    normalize_weights,  ///< those of the chosen add up to 1
    routed_scale,       ///< of the weights
    expert_groups,
    active_groups,
    router_bias,
    first_dense_layers,  ///< so many blocks have a plain MLP
    dense_layers,        ///< a list of such blocks
    sparse_step,         ///< every so many-th block has a mixture
    first_sparse_layer,
    last_sparse_layer,
    sparse_layers,  ///< a list of blocks that have a mixture
    mlp_types,      ///< a list: "sparse" or "dense"
    dense_width,    ///< of the plain MLP, where intermediate_size is that of experts
    // Latent attention.
    kv_rank,
    query_rank,
    plain_head_dim,
    rope_head_dim,
    whole_head_dim,  ///< the two together
    value_head_dim,
    // Gated delta net.
    delta_key_heads,
    delta_value_heads,
    delta_key_dim,
    delta_value_dim,
    delta_kernel,
    attention_interval,  ///< every so many-th layer is attention
    // Short convolution.
    conv_kernel,
    attention_layers,  ///< a list of blocks that are attention
    adjust_width,      ///< the MLP's width is made of the three below
    width_multiplier,
    width_multiple,
    // Blocks that predict further tokens, which are not used.
    next_token_layers,
    fixed,  ///< understood with a single value, ConfigKey::fallback
};

struct ConfigKey {
    Setting setting = Setting::fixed;
    const char* hf = nullptr;
    /// The GGUF key behind "<architecture>." that says the same; null where metadata says it in
    /// other ways, or not at all.
    const char* gguf = nullptr;
    /// JSON that stands for a key that is absent or null. Null: the key is required, or what it
    /// stands for is derived from others.
    const char* fallback = nullptr;
};

/// Which layers of a model without layer_types are of which type.
enum class LayerPattern : std::uint8_t {
    full,              ///< all see everything
    windows,           ///< all have windows, where there is a size
    windows_from,      ///< those from Setting::max_window_layers on
    windows_but_nth,   ///< all but every Family::window_pattern-th
    chunks_that_turn,  ///< chunks in layers whose heads turn
    windows_unturned,  ///< windows in layers whose heads do not turn
    delta_but_nth,     ///< gated delta nets, but every n-th attention
    convolutions       ///< short convolutions but for Setting::attention_layers
};

/// Which layers' heads turn by position.
enum class Turning : std::uint8_t {
    all,
    listed,              ///< Setting::no_rope_layers or no_rope_interval
    with_window,         ///< layers that have windows
    with_window_if_any,  ///< all of a model without windows, else those that have them
    if_configured        ///< Setting::position_kind
};

/// What a family computes that no key of its configuration says.
struct FamilyFeatures {
    NormKind norm = NormKind::rms;
    HeadNorm head_norm = HeadNorm::none;
    bool rope_interleaved = false;
    bool rope_by_layer_type = false;  ///< layers with windows turn in their own way
    bool parallel = false;            ///< LayerConfig::parallel
    bool plain_mlp = false;           ///< no gate
    bool output_gate = false;
    bool sinks = false;
    bool latent = false;             ///< attention is latent
    bool delta_interleaved = false;  ///< GatedDeltaConfig::interleaved
    bool scaled_embedding = false;   ///< by the root of hidden_size
    bool value_norm = false;
    double score_scale = 0;        ///< above 0: AttentionConfig::scale
    bool growing_queries = false;  ///< rope_parameters say how, beyond the original context
    bool clamped_swiglu = false;
    bool mxfp4 = false;  ///< files may hold experts in blocks of MXFP4
    LayerPattern layers = LayerPattern::full;
    std::int64_t window_pattern = 1;
    bool ends_full = false;  ///< the last layer has no window
    Turning turning = Turning::all;
    MixtureConfig::Weight routing = MixtureConfig::Weight::softmax;
    bool normalized = false;  ///< the weights of chosen experts, whatever keys say
};

/// What GGUF files hold in another way.
struct GgufTraits {
    std::string_view architecture;  ///< general.architecture
    /// Rows of q and k stand with the two halves of every rotary pair side by side.
    bool interleaved_pairs = false;
    bool folded_norms = false;  ///< norms of kind 1 + w hold the sum
    bool rope_by_type = false;  ///< rope_freqs.weight is of layers without windows
    bool delta_tiled = false;   ///< value heads stand tiled over key heads, -exp(A_log) is stored
    bool exact_yarn = false;    ///< yarn's ends are not rounded, which metadata cannot say
    bool normalized = false;    ///< weights of experts add up to 1 where metadata does not say
    /// A model of so many layers divides scores by the root of hidden_size / heads instead of that
    /// of a head's size.
    std::int64_t wide_query_layers = 0;
    /// Said in a note of every such file: what it does not hold.
    const char* note = nullptr;
    /// no_windows_note is one for files whose name holds this.
    const char* name_with_windows = nullptr;
    /// Metadata behind "<architecture>." without effect on this family's results.
    std::vector<std::string_view> ignored_keys = {};
};

inline constexpr const char* no_windows_note =
    "the file does not say whether the model has attention windows: every layer sees the whole "
    "text";

struct Family {
    std::string_view model_type;  ///< in config.json
    std::string_view hf_class;    ///< in `architectures` of config.json
    FamilyFeatures features = {};
    GgufTraits gguf = {};
    /// Every tensor of a model, in the order of the network. A block has those whose role it has
    /// use for.
    std::vector<TensorNames> tensors = {};
    /// In the order in which a config.json made from GGUF metadata gives them. A setting may have
    /// several keys: the first is its usual one.
    std::vector<ConfigKey> keys = {};
    /// Keys without effect on this family's results, beside harmless_config_keys().
    std::vector<std::string_view> ignored_keys = {};
    /// The same inside rope_scaling and rope_parameters.
    std::vector<std::string_view> ignored_rope_keys = {};
};

/// A model around a family: its configuration stands in `text_config`, its tensors among others.
struct Wrapper {
    std::string_view model_type;
    std::string_view hf_class;
    /// Of the family inside; "": text_config says it.
    std::string_view inner;
    /// What stands instead of "model." in names, and before the head's. Several where writers
    /// differ: the first of which the file has the embedding.
    struct Prefixes {
        const char* model;
        const char* head;
    };
    std::vector<Prefixes> prefixes = {};
};

/// The table.
std::span<const Family> families();
std::span<const Wrapper> wrappers();

/// Beginnings of the names of tensors that are none of the text model's: what sees and hears, and
/// blocks that predict further tokens.
std::span<const std::string_view> foreign_tensors();

/// Keys of config.json that change no result of any family: notes of the program that wrote the
/// file, settings of training and of sampling, ids of tokens that text alone is made with.
std::span<const std::string_view> harmless_config_keys();

/// Null when the row has no such key.
const ConfigKey* find_key(const Family& family, Setting setting);

/// "use a model of the architecture llama, mistral or qwen2", for errors.
std::string supported_architectures(std::span<const Family> table);

}  // namespace vq
