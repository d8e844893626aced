// SPDX-License-Identifier: Apache-2.0
// Small models, each with one thing that a block can have.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "io/families/tensor_shape.h"
#include "tests/model/tiny_model.h"

namespace vq::test {

/// Adds a tensor to a block, with the shape that its role has there.
inline ModelTensor& add_tensor(ModelConfig& config, LayerConfig& layer, TensorRole role,
                               Index expert = -1) {
    ModelTensor tensor;
    tensor.role = role;
    tensor.expert = expert;
    const auto number = &layer - config.layers.data();
    tensor.name = "layers." + std::to_string(number) + ".role" +
                  std::to_string(static_cast<int>(role)) + "." + std::to_string(expert);
    set_shape(config, layer, tensor);
    // All of an expert, then the next one.
    const auto place = [](const ModelTensor& t) {
        const TensorRole group = t.expert >= 0 ? TensorRole::expert_gate : t.role;
        return std::tuple(group, t.expert, t.role);
    };
    const auto behind =
        std::find_if(layer.tensors.begin(), layer.tensors.end(),
                     [&](const ModelTensor& t) { return place(t) > place(tensor); });
    return *layer.tensors.insert(behind, std::move(tensor));
}

inline void remove_tensor(LayerConfig& layer, TensorRole role) {
    std::erase_if(layer.tensors, [&](const ModelTensor& t) { return t.role == role; });
}

/// Shapes again, where numbers have changed.
inline void reshape(ModelConfig& config, LayerConfig& layer) {
    for (ModelTensor& t : layer.tensors) set_shape(config, layer, t);
}

struct Feature {
    const char* name;
    /// Of every block, and (once, the block null) of the model.
    std::function<void(ModelConfig&, LayerConfig*)> apply;
};

inline void PrintTo(const Feature& feature, std::ostream* out) {
    *out << feature.name;
}

/// For the names of parameterized tests.
inline std::string feature_name(const ::testing::TestParamInfo<Feature>& info) {
    std::string name = info.param.name;
    std::erase_if(name, [](char c) { return c == ',' || c == '+'; });
    std::replace(name.begin(), name.end(), ' ', '_');
    return name;
}

inline ModelConfig with_feature(const Feature& feature, const ModelConfig& base = tiny_llama()) {
    ModelConfig config = base;
    feature.apply(config, nullptr);
    for (LayerConfig& layer : config.layers) feature.apply(config, &layer);
    return config;
}

inline void set_head_norm(ModelConfig& config, LayerConfig& layer, HeadNorm kind) {
    layer.attention.head_norm = kind;
    if (kind == HeadNorm::unit_after_rope) return;
    add_tensor(config, layer, TensorRole::query_norm);
    add_tensor(config, layer, TensorRole::key_norm);
}

/// A change of blocks alone, and of the model alone.
inline Feature in_blocks(const char* name, void (*apply)(ModelConfig&, LayerConfig&)) {
    return {name, [apply](ModelConfig& c, LayerConfig* l) {
                if (l != nullptr) apply(c, *l);
            }};
}
inline Feature in_model(const char* name, void (*apply)(ModelConfig&)) {
    return {name, [apply](ModelConfig& c, LayerConfig* l) {
                if (l == nullptr) apply(c);
            }};
}

inline std::vector<Feature> norm_features() {
    return {
        in_model("rms_plus_one", [](ModelConfig& c) { c.norm = NormKind::rms_plus_one; }),
        {"layer_norm with biases",
         [](ModelConfig& c, LayerConfig* l) {
             c.norm = NormKind::layer;
             c.final_norm.bias = true;
             if (l == nullptr) return;
             for (ModelTensor& t : l->tensors)
                 if (t.role == TensorRole::attention_norm || t.role == TensorRole::mlp_norm)
                     t.bias = true;
         }},
        in_model("layer_plus_one", [](ModelConfig& c) { c.norm = NormKind::layer_plus_one; }),
        in_blocks("post norms",
                  [](ModelConfig& c, LayerConfig& l) {
                      add_tensor(c, l, TensorRole::attention_post_norm);
                      add_tensor(c, l, TensorRole::mlp_post_norm);
                      l.residual_scale = 0.7;
                  }),
        in_blocks("post norms alone",
                  [](ModelConfig& c, LayerConfig& l) {
                      add_tensor(c, l, TensorRole::attention_post_norm);
                      add_tensor(c, l, TensorRole::mlp_post_norm);
                      remove_tensor(l, TensorRole::attention_norm);
                      remove_tensor(l, TensorRole::mlp_norm);
                  }),
        in_blocks("parallel block",
                  [](ModelConfig&, LayerConfig& l) {
                      l.parallel = true;
                      remove_tensor(l, TensorRole::mlp_norm);
                  }),
        in_blocks(
            "a number at the end of a block",
            [](ModelConfig& c, LayerConfig& l) { add_tensor(c, l, TensorRole::layer_scalar); }),
        {"inputs of every block",
         [](ModelConfig& c, LayerConfig* l) {
             if (l == nullptr) {
                 LayerInputs& inputs = c.layer_inputs;
                 inputs.width = 6;
                 inputs.embedding = {.role = TensorRole::layer_embedding, .name = "inputs.words"};
                 inputs.projection = {.role = TensorRole::layer_projection, .name = "inputs.made"};
                 inputs.norm = {.role = TensorRole::layer_projection_norm, .name = "inputs.norm"};
                 for (ModelTensor* t : {&inputs.embedding, &inputs.projection, &inputs.norm})
                     set_shape(c, {}, *t);
                 return;
             }
             l->layer_input = c.layer_inputs.width;
             for (const TensorRole role :
                  {TensorRole::layer_input_gate, TensorRole::layer_input_out,
                   TensorRole::layer_input_norm})
                 add_tensor(c, *l, role);
         }},
        in_blocks("residual scale", [](ModelConfig&, LayerConfig& l) { l.residual_scale = 0.4; }),
        in_model("scales of embedding and logits",
                 [](ModelConfig& c) {
                     c.embedding_scale = 2.5;
                     c.logit_scale = 0.5;
                     c.logit_softcap = 3.0;
                 }),
        in_model("a head with biases",
                 [](ModelConfig& c) {
                     c.tie_embeddings = false;
                     c.head.bias = true;
                     c.logit_scale = 0.5;
                 }),
    };
}

/// The last block looks at the keys and values of the first.
inline void borrow_keys(ModelConfig& config, LayerConfig* layer, Index window) {
    if (layer == nullptr) return;
    layer->attention.window = window;
    layer->attention.lends_keys = layer == &config.layers.front();
    set_head_norm(config, *layer, HeadNorm::each_head);
    if (layer != &config.layers.back()) return;
    layer->attention.keys_from = 0;
    for (const TensorRole role : {TensorRole::key, TensorRole::value, TensorRole::key_norm})
        remove_tensor(*layer, role);
}

inline std::vector<Feature> attention_features() {
    return {
        in_blocks("norm of each head",
                  [](ModelConfig& c, LayerConfig& l) { set_head_norm(c, l, HeadNorm::each_head); }),
        in_blocks("norm 1 + w of each head",
                  [](ModelConfig& c, LayerConfig& l) {
                      c.norm = NormKind::rms_plus_one;
                      set_head_norm(c, l, HeadNorm::each_head);
                  }),
        in_blocks(
            "LayerNorm of each head",
            [](ModelConfig& c, LayerConfig& l) { set_head_norm(c, l, HeadNorm::each_head_layer); }),
        in_blocks("norm of all heads",
                  [](ModelConfig& c, LayerConfig& l) { set_head_norm(c, l, HeadNorm::whole); }),
        in_blocks(
            "norm after turning",
            [](ModelConfig& c, LayerConfig& l) { set_head_norm(c, l, HeadNorm::after_rope); }),
        in_blocks(
            "norm without weights after turning",
            [](ModelConfig& c, LayerConfig& l) { set_head_norm(c, l, HeadNorm::unit_after_rope); }),
        in_blocks("window", [](ModelConfig&, LayerConfig& l) { l.attention.window = 23; }),
        in_blocks("chunks", [](ModelConfig&, LayerConfig& l) { l.attention.chunk = 37; }),
        {"window in one of two layers, which turns by itself",
         [](ModelConfig& c, LayerConfig* l) {
             if (l == nullptr) {
                 c.ropes.push_back(c.ropes.front());
                 c.ropes.back().theta = 500.0;
             } else if (l == &c.layers.front()) {
                 l->attention.window = 16;
                 l->attention.rope = 1;
             }
         }},
        in_blocks("no positions", [](ModelConfig&, LayerConfig& l) { l.attention.rope = -1; }),
        in_model("neighbours turn, in part",
                 [](ModelConfig& c) {
                     c.ropes.front().interleaved = true;
                     c.ropes.front().dims = 6;
                     c.ropes.front().attention_factor = 1.3;
                 }),
        in_model("halves turn, in part", [](ModelConfig& c) { c.ropes.front().dims = 4; }),
        in_blocks("cap and scale of scores",
                  [](ModelConfig&, LayerConfig& l) {
                      l.attention.softcap = 1.5;
                      l.attention.scale = 0.9;
                  }),
        in_blocks("sinks",
                  [](ModelConfig& c, LayerConfig& l) {
                      l.attention.sinks = true;
                      l.attention.window = 31;
                      add_tensor(c, l, TensorRole::sinks);
                  }),
        in_blocks("output gate",
                  [](ModelConfig& c, LayerConfig& l) {
                      l.attention.output_gate = true;
                      reshape(c, l);
                      set_head_norm(c, l, HeadNorm::each_head);
                  }),
        in_blocks("norm of v", [](ModelConfig&, LayerConfig& l) { l.attention.value_norm = true; }),
        in_blocks("keys that are values too, in a window",
                  [](ModelConfig& c, LayerConfig& l) {
                      l.attention.keys_are_values = true;
                      l.attention.value_norm = true;
                      l.attention.window = 29;
                      remove_tensor(l, TensorRole::value);
                      set_head_norm(c, l, HeadNorm::each_head);
                  }),
        {"keys of another block", [](ModelConfig& c, LayerConfig* l) { borrow_keys(c, l, 0); }},
        {"keys of another block, in a window",
         [](ModelConfig& c, LayerConfig* l) { borrow_keys(c, l, 27); }},
        in_blocks("queries that grow",
                  [](ModelConfig&, LayerConfig& l) {
                      l.attention.query_growth = 0.3;
                      l.attention.query_period = 20;
                      l.attention.query_shift = 1;
                  }),
        in_blocks("q, k and v in one, with biases",
                  [](ModelConfig& c, LayerConfig& l) {
                      for (const TensorRole role :
                           {TensorRole::query, TensorRole::key, TensorRole::value})
                          remove_tensor(l, role);
                      add_tensor(c, l, TensorRole::query_key_value).bias = true;
                  }),
    };
}

inline std::vector<Feature> mlp_features() {
    return {
        in_blocks("gate and up in one, gelu_tanh",
                  [](ModelConfig& c, LayerConfig& l) {
                      l.mlp.activation = Activation::gelu_tanh;
                      remove_tensor(l, TensorRole::gate);
                      remove_tensor(l, TensorRole::up);
                      add_tensor(c, l, TensorRole::gate_up).bias = true;
                  }),
        in_blocks("plain, gelu",
                  [](ModelConfig&, LayerConfig& l) {
                      l.mlp.activation = Activation::gelu;
                      l.mlp.gated = false;
                      remove_tensor(l, TensorRole::gate);
                      for (ModelTensor& t : l.tensors)
                          if (t.role >= TensorRole::up && t.role <= TensorRole::down) t.bias = true;
                  }),
        in_blocks("plain, relu_squared",
                  [](ModelConfig&, LayerConfig& l) {
                      l.mlp.activation = Activation::relu_squared;
                      l.mlp.gated = false;
                      remove_tensor(l, TensorRole::gate);
                  }),
        in_blocks(
            "clamped_swiglu",
            [](ModelConfig&, LayerConfig& l) { l.mlp.activation = Activation::clamped_swiglu; }),
    };
}

/// Makes a mixture of a block's MLP.
inline void set_mixture(ModelConfig& config, LayerConfig& layer, const MixtureConfig& mixture,
                        bool stacked = false) {
    layer.mlp.width = 0;
    layer.mixture = mixture;
    for (const TensorRole role : {TensorRole::gate, TensorRole::up, TensorRole::down})
        remove_tensor(layer, role);
    add_tensor(config, layer, TensorRole::router);
    for (Index e = 0; e < mixture.n_experts; ++e) {
        if (stacked) {
            add_tensor(config, layer, TensorRole::expert_gate_up, e);
        } else {
            add_tensor(config, layer, TensorRole::expert_gate, e);
            add_tensor(config, layer, TensorRole::expert_up, e);
        }
        add_tensor(config, layer, TensorRole::expert_down, e);
    }
    if (mixture.shared_width == 0) return;
    for (const TensorRole role :
         {TensorRole::shared_gate, TensorRole::shared_up, TensorRole::shared_down})
        add_tensor(config, layer, role);
}

inline std::vector<Feature> mixture_features() {
    using Weight = MixtureConfig::Weight;
    return {
        in_blocks("softmax, normalized, a shared expert with a switch",
                  [](ModelConfig& c, LayerConfig& l) {
                      set_mixture(c, l,
                                  {.n_experts = 6,
                                   .n_active = 2,
                                   .width = 24,
                                   .shared_width = 16,
                                   .normalized = true});
                      add_tensor(c, l, TensorRole::shared_switch);
                  }),
        in_blocks("softmax of the chosen, gate and up in one, biases",
                  [](ModelConfig& c, LayerConfig& l) {
                      set_mixture(c, l,
                                  {.weight = Weight::softmax_of_chosen,
                                   .n_experts = 5,
                                   .n_active = 3,
                                   .width = 20,
                                   .activation = Activation::clamped_swiglu},
                                  true);
                      for (ModelTensor& t : l.tensors)
                          if (t.role == TensorRole::router || t.expert >= 0) t.bias = true;
                  }),
        in_blocks("sigmoid, groups, a bias of the choice, scale, a shared expert",
                  [](ModelConfig& c, LayerConfig& l) {
                      set_mixture(c, l,
                                  {.weight = Weight::sigmoid,
                                   .n_experts = 8,
                                   .n_active = 3,
                                   .width = 24,
                                   .shared_width = 24,
                                   .normalized = true,
                                   .scale = 1.7,
                                   .n_groups = 4,
                                   .n_active_groups = 2});
                      add_tensor(c, l, TensorRole::router_bias);
                  }),
        in_blocks("weights of the input",
                  [](ModelConfig& c, LayerConfig& l) {
                      set_mixture(c, l,
                                  {.weight = Weight::sigmoid_of_input,
                                   .n_experts = 4,
                                   .n_active = 1,
                                   .width = 24,
                                   .shared_width = 16});
                  }),
        in_blocks("an MLP beside a mixture",
                  [](ModelConfig& c, LayerConfig& l) {
                      const MlpConfig mlp = l.mlp;
                      set_mixture(c, l,
                                  {.n_experts = 6, .n_active = 2, .width = 24, .normalized = true},
                                  true);
                      l.mlp = mlp;
                      for (const TensorRole role :
                           {TensorRole::gate, TensorRole::up, TensorRole::down,
                            TensorRole::mlp_own_post_norm, TensorRole::expert_norm,
                            TensorRole::router_scale, TensorRole::expert_scale,
                            TensorRole::expert_post_norm, TensorRole::mlp_post_norm})
                          add_tensor(c, l, role);
                  }),
        {"a mixture behind a dense block, two experts that nobody visits",
         [](ModelConfig& c, LayerConfig* l) {
             if (l == nullptr || l == &c.layers.front()) return;
             set_mixture(c, *l, {.n_experts = 40, .n_active = 1, .width = 16});
         }},
    };
}

inline std::vector<Feature> all_features() {
    std::vector<Feature> out;
    for (const auto& some :
         {norm_features(), attention_features(), mlp_features(), mixture_features()})
        out.insert(out.end(), some.begin(), some.end());
    return out;
}

}  // namespace vq::test
