// SPDX-License-Identifier: Apache-2.0
// What a block of a model computes: how it mixes tokens, and what it does to each. A family's row
// and a configuration come to this; nothing later asks for the family.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/families/tensor_role.h"

namespace vq {

/// y = (x / rms(x)) w; rms_plus_one: times 1 + w. layer: (x - mean) / deviation, times w (1 + w),
/// plus a bias where the tensor has one.
enum class NormKind : std::uint8_t { rms, rms_plus_one, layer, layer_plus_one };

/// Of the MLP. clamped_swiglu (gpt-oss): (up + 1) g sigmoid(1.702 g), g <= 7, |up| <= 7.
enum class Activation : std::uint8_t { silu, gelu, gelu_tanh, relu_squared, clamped_swiglu };

/// Rotary positions: pair i of `dims` / 2 turns by position * theta^(-2i / dims), scaled.
struct RopeConfig {
    /// linear: positions divided by `factor`. llama3: as in the Llama 3.1 configuration. yarn:
    /// arXiv 2309.00071. dynamic: theta grows with a text longer than max_position. longrope: arXiv
    /// 2402.13753, pair i divided by short_factor or, in texts longer than original_max_position,
    /// long_factor. proportional (Gemma 4): exponents over the whole head, of which `dims` turn.
    enum class Scaling : std::uint8_t {
        none,
        linear,
        llama3,
        yarn,
        dynamic,
        longrope,
        proportional
    } scaling = Scaling::none;
    double theta = 10000.0;
    std::int64_t dims = 0;      ///< of a head, those that turn; they come first
    std::int64_t head_dim = 0;  ///< all of them
    bool interleaved = false;   ///< neighbours are a pair, else i and i + dims / 2
    double factor = 1.0;
    double low_freq_factor = 1.0;
    double high_freq_factor = 4.0;
    std::int64_t original_max_position = 8192;
    std::int64_t max_position = 0;
    double beta_fast = 32.0;
    double beta_slow = 1.0;
    bool truncate = true;           ///< yarn's ends are rounded to whole pairs
    double attention_factor = 1.0;  ///< of cosines and sines
    std::vector<double> short_factor;
    std::vector<double> long_factor;
    std::vector<double> divisors;  ///< of frequencies, one a pair, where a GGUF file gives them
};

/// Which norm heads of q and k go through. each_head: the model's kind with weights of a head,
/// before they turn; each_head_layer: LayerNorm so; whole: one RMS norm over all heads;
/// after_rope: RMS of each head after it turned; unit_after_rope: the same without weights.
enum class HeadNorm : std::uint8_t {
    none,
    each_head,
    each_head_layer,
    whole,
    after_rope,
    unit_after_rope
};

struct AttentionConfig {
    std::int64_t n_heads = 0;
    std::int64_t n_kv_heads = 0;
    std::int64_t head_dim = 0;  ///< may differ from hidden_size / n_heads
    int rope = 0;               ///< of ModelConfig::ropes; below 0: heads do not turn
    double scale = 0;           ///< of scores
    double softcap = 0;         ///< above 0: a score s becomes softcap * tanh(s / softcap)
    std::int64_t window = 0;    ///< above 0: a key is seen where query - key < window
    std::int64_t chunk = 0;     ///< above 0: only keys of the query's own chunk are seen
    HeadNorm head_norm = HeadNorm::none;
    bool sinks = false;
    bool value_norm = false;       ///< heads of v go through an RMS norm without weights
    bool keys_are_values = false;  ///< v is what becomes k, before its norm and turning
    /// From 0 on: keys and values are those of this block, which comes before and lends them.
    int keys_from = -1;
    bool lends_keys = false;
    bool output_gate = false;  ///< q has twice the rows: of each head q, then a gate of its output
    /// Above 0: a query at position p is multiplied by
    /// 1 + query_growth * log(1 + floor((p + query_shift) / query_period)).
    double query_growth = 0;
    double query_period = 0;
    double query_shift = 0;
};

struct LatentAttentionConfig {
    std::int64_t n_heads = 0;
    std::int64_t query_rank = 0;  ///< 0: q is made in one step
    std::int64_t kv_rank = 0;
    std::int64_t plain_dim = 0;  ///< of a head of q and k, that does not turn
    std::int64_t rope_dim = 0;   ///< that does; one key serves all heads
    std::int64_t value_dim = 0;
    int rope = 0;
    double scale = 0;
};

struct GatedDeltaConfig {
    std::int64_t n_key_heads = 0;
    std::int64_t n_value_heads = 0;  ///< a multiple of n_key_heads
    std::int64_t key_dim = 0;
    std::int64_t value_dim = 0;
    std::int64_t kernel = 0;
    bool interleaved = false;  ///< inputs stand in two tensors, by key head
};

struct ShortConvConfig {
    std::int64_t kernel = 0;
};

struct MlpConfig {
    std::int64_t width = 0;  ///< 0: the block has none
    Activation activation = Activation::silu;
    bool gated = true;  ///< down(act(gate x) * up x), else down(act(up x))
};

struct MixtureConfig {
    /// What an expert weighs. softmax: of all logits. sigmoid: of its own logit. softmax_of_chosen:
    /// of the logits of the chosen. sigmoid_of_input (Llama 4): sigmoid, and it scales the expert's
    /// input.
    enum class Weight : std::uint8_t {
        softmax,
        sigmoid,
        softmax_of_chosen,
        sigmoid_of_input
    } weight = Weight::softmax;
    std::int64_t n_experts = 0;  ///< 0: the block has no mixture
    std::int64_t n_active = 0;
    std::int64_t width = 0;         ///< of an expert
    std::int64_t shared_width = 0;  ///< of the shared experts together; 0: none
    bool normalized = false;        ///< the weights of the chosen are made to add up to 1
    double scale = 1.0;             ///< of the weights
    std::int64_t n_groups = 1;      ///< the best groups (by their two best experts) are left
    std::int64_t n_active_groups = 1;
    Activation activation = Activation::silu;

    /// Weights are of an expert's input, not of what it gives.
    bool scales_input() const { return weight == Weight::sigmoid_of_input; }
    /// Of all experts, those that a token visits.
    double active_share() const {
        return static_cast<double>(n_active) / static_cast<double>(n_experts);
    }
};

/// How a family's own safetensors files hold an expert's matrix. single: a tensor of its own. Else
/// a tensor of three dimensions holds all experts', and `name` ends in the expert's number, as in
/// "gate_up_proj[3]". stacked: each (rows, cols). transposed: (cols, rows). interleaved: transposed
/// too, and the rows of gate and up, one behind the other here, take turns there.
enum class ExpertLayout : std::uint8_t { single, stacked, transposed, interleaved };
/// A file has inputs as rows.
constexpr bool is_transposed(ExpertLayout layout) {
    return layout == ExpertLayout::transposed || layout == ExpertLayout::interleaved;
}

/// A tensor that the model calls for.
struct ModelTensor {
    TensorRole role = TensorRole::embedding;
    std::string name;       ///< HF name without ".weight": "model.layers.3.self_attn.q_proj"
    std::string gguf_name;  ///< without ".weight": "blk.3.attn_q"
    std::int64_t rows = 0;  ///< outputs; 1 for the weights of a norm
    std::int64_t cols = 0;  ///< inputs
    bool bias = false;      ///< bias_name(), size (bias_size()), is part of the model
    /// Above 0: a GGUF file holds the two halves of every rotary pair side by side, in the rows of
    /// so many heads.
    std::int64_t gguf_pair_heads = 0;
    bool bare = false;         ///< the file's name is `name` alone, without ".weight"
    std::int64_t expert = -1;  ///< of a mixture, else below 0
    ExpertLayout layout = ExpertLayout::single;
    std::uint8_t dimensions = 0;  ///< in the family's own files; 0: what the role has

    /// The HF name of the tensor itself.
    std::string weight() const { return bare ? name : name + ".weight"; }
    std::string bias_name() const { return name + ".bias"; }
    /// One value an output; of a norm one a weight.
    std::int64_t bias_size() const { return is_vector(role) ? rows * cols : rows; }
};

enum class Mixer : std::uint8_t { attention, latent_attention, gated_delta, short_conv };

struct LayerConfig {
    Mixer mixer = Mixer::attention;
    AttentionConfig attention;
    LatentAttentionConfig latent;
    GatedDeltaConfig delta;
    ShortConvConfig conv;
    bool parallel = false;      ///< mixer and MLP read one normed input, both are added to it
    double residual_scale = 1;  ///< of what mixer and MLP add
    MlpConfig mlp;
    MixtureConfig mixture;
    std::int64_t layer_input = 0;      ///< width of its part of LayerInputs; 0: it has none
    std::vector<ModelTensor> tensors;  ///< in the order of the network

    /// Mixture and MLP stand side by side, each with norms of its own.
    bool mlp_beside_mixture() const { return mlp.width > 0 && mixture.n_experts > 0; }
    /// The block must have such a tensor: its absence is a fault of the program.
    const ModelTensor& tensor(TensorRole role) const;
    /// Null where the block has none.
    const ModelTensor* find(TensorRole role) const;
};

}  // namespace vq
