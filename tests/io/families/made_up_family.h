// SPDX-License-Identifier: Apache-2.0
// A family that nobody trained: its tensors, its keys and its defaults have names of their own, so
// that whatever works with it got them from the row.
#pragma once

#include <array>
#include <iterator>

#include "io/families/family.h"

namespace vq::test {

inline constexpr TensorNames weaver_tensors[] = {
    {TensorRole::embedding, "loom.words", "words"},
    {TensorRole::attention_norm, "loom.{}.even_a", "row.{}.even_a"},
    {TensorRole::query, "loom.{}.warp.ask", "row.{}.ask", Bias::if_configured},
    {TensorRole::key, "loom.{}.warp.find", "row.{}.find", Bias::always},
    {TensorRole::value, "loom.{}.warp.give", "row.{}.give"},
    {TensorRole::attention_out, "loom.{}.warp.tie", "row.{}.tie"},
    {TensorRole::mlp_norm, "loom.{}.even_b", "row.{}.even_b"},
    {TensorRole::gate, "loom.{}.weft.door", "row.{}.door"},
    {TensorRole::up, "loom.{}.weft.rise", "row.{}.rise"},
    {TensorRole::down, "loom.{}.weft.fall", "row.{}.fall", Bias::always},
    {TensorRole::final_norm, "loom.even", "even"},
    {TensorRole::head, "cloth", "fabric"},
};

inline constexpr ConfigKey weaver_keys[] = {
    {Setting::activation, "bend", nullptr, R"("silu")"},
    {Setting::vocab_size, "words", "word_count"},
    {Setting::hidden_size, "width", "width"},
    {Setting::intermediate_size, "weft_width", "weft_width"},
    {Setting::layers, "rows", "rows"},
    {Setting::heads, "heads", "heads"},
    {Setting::kv_heads, "kv_heads", "kv_heads"},
    {Setting::head_dim, "head_width", "head_width"},
    {Setting::max_position, "length", "length", "100"},
    {Setting::norm_epsilon, "eps", "eps", "0.5"},
    {Setting::rope_theta, "turn", "turn", "77.0"},
    {Setting::tie_embeddings, "one_table", nullptr, "false"},
    {Setting::attention_bias, "asks_biased", nullptr, "false"},
    {Setting::bos_ids, "first"},
    {Setting::eos_ids, "last"},
    {Setting::fixed, "knots", nullptr, "3"},
};

inline constexpr std::string_view weaver_ignored[] = {"colour"};

inline const std::array<Family, 1> weaver = {
    {{.model_type = "weaver",
      .hf_class = "WeaverForText",
      .gguf = {.architecture = "wv"},
      .tensors = {std::begin(weaver_tensors), std::end(weaver_tensors)},
      .keys = {std::begin(weaver_keys), std::end(weaver_keys)},
      .ignored_keys = {std::begin(weaver_ignored), std::end(weaver_ignored)}}}};

inline constexpr const char* weaver_config = R"({"model_type": "weaver", "words": 90, "width": 24,
    "weft_width": 40, "rows": 2, "heads": 3, "kv_heads": 1, "head_width": 6, "length": 64,
    "eps": 1e-5, "asks_biased": true, "one_table": false, "knots": 3, "colour": "red"})";

}  // namespace vq::test
