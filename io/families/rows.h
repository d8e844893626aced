// SPDX-License-Identifier: Apache-2.0
// What rows of the table are written with: names and keys that most families share, and ways to
// change some of them.
#pragma once

#include <initializer_list>
#include <vector>

#include "io/families/family.h"

namespace vq::rows {

using Names = std::vector<TensorNames>;
using Keys = std::vector<ConfigKey>;

/// The names that Llama gave and most families took over.
Names usual_names(Bias qkv = Bias::never, Bias out = Bias::never, Bias mlp = Bias::never);
/// usual_names() with norms of heads of q and k.
Names head_norm_names(Bias qkv = Bias::never, Bias out = Bias::never, Bias mlp = Bias::never);
/// `names` with these in place of those of the same roles, or added at their place.
Names with(Names names, std::initializer_list<TensorNames> changes);
Names without(Names names, std::initializer_list<TensorRole> roles);

/// Norms before and after mixer and MLP (Gemma 2), and only after them (OLMo 2).
Names sandwich_norms(Names names);
Names post_norms(Names names);

/// Router and an expert's layers behind `part`, under the names that Llama gave such layers.
Names mixture_names(Names names);
/// The same as Mixtral calls them: w1 is gate, w3 up, w2 down.
Names mixtral_names(Names names);
/// The bias of a router's choice, behind the router's name.
Names with_choice_bias(Names names);
/// Experts that see every token.
Names with_shared_experts(Names names);

/// What nearly every configuration says, and what transformers assumes for keys that config.json
/// leaves out.
struct UsualDefaults {
    const char* longest = "2048";
    const char* bos = nullptr;
    const char* eos = nullptr;
    const char* theta = "10000.0";
    const char* epsilon = "1e-6";
    const char* tied = "false";
};
Keys usual_keys(const UsualDefaults& defaults = {});
/// The same for positions of Llama's kind: a share of a head may turn.
Keys llama_keys(const UsualDefaults& defaults = {});
/// `keys` with these in place of those of the same settings (or, where fixed, of the same name),
/// or added before the ids of tokens.
Keys with(Keys keys, std::initializer_list<ConfigKey> changes);
/// `keys` with other names, in files of other writers, for settings that have one.
Keys also(Keys keys, std::initializer_list<ConfigKey> more);
Keys without(Keys keys, std::initializer_list<Setting> settings);

/// Windows that a switch, a size and a list of layers say (Qwen2).
Keys with_switched_windows(Keys keys);
/// Mixtures as Qwen2-MoE says them, and as DeepSeek does.
Keys with_mixture(Keys keys, const char* normalized);
Keys with_routed_mixture(Keys keys);
/// The scalars of Granite.
Keys with_granite_scalars(Keys keys);
/// Latent attention of DeepSeek.
Keys with_latent_attention(Keys keys);

std::vector<Family> dense_rows();
std::vector<Family> gemma_rows();
std::vector<Family> norm_rows();
std::vector<Family> mixture_rows();
std::vector<Family> latent_rows();
std::vector<Family> hybrid_rows();

}  // namespace vq::rows
