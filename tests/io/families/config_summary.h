// SPDX-License-Identifier: Apache-2.0
// Everything that a configuration comes to, as text: two that compute the same are equal in it.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "io/families/model_config.h"

namespace vq::test {

template <class T>
void write_list(std::ostream& out, const std::vector<T>& list) {
    for (const T& value : list) out << value << ",";
    out << ";";
}

inline void write_rope(std::ostream& out, const RopeConfig& r) {
    out << "rope " << static_cast<int>(r.scaling) << " " << r.theta << " " << r.dims << " "
        << r.head_dim << " " << r.interleaved << " " << r.factor << " " << r.low_freq_factor << " "
        << r.high_freq_factor << " " << r.original_max_position << " " << r.max_position << " "
        << r.beta_fast << " " << r.beta_slow << " " << r.truncate << " " << r.attention_factor
        << " ";
    write_list(out, r.short_factor);
    write_list(out, r.long_factor);
    write_list(out, r.divisors);
    out << "\n";
}

inline void write_tensor(std::ostream& out, const ModelTensor& t) {
    out << t.weight() << " " << t.gguf_name << " " << t.rows << "x" << t.cols << " " << t.bias
        << " " << t.gguf_pair_heads << " " << t.expert << " " << static_cast<int>(t.layout) << ";";
}

inline void write_layer(std::ostream& out, const LayerConfig& l) {
    const AttentionConfig& a = l.attention;
    out << static_cast<int>(l.mixer) << " heads " << a.n_heads << " " << a.n_kv_heads << " "
        << a.head_dim << " " << a.rope << " " << a.scale << " " << a.softcap << " " << a.window
        << " " << a.chunk << " " << static_cast<int>(a.head_norm) << " " << a.sinks << " "
        << a.output_gate << " " << a.value_norm << " " << a.keys_are_values << " " << a.keys_from
        << " " << a.lends_keys << " " << a.query_growth << " " << a.query_period << " "
        << a.query_shift;
    const LatentAttentionConfig& m = l.latent;
    out << " latent " << m.n_heads << " " << m.query_rank << " " << m.kv_rank << " " << m.plain_dim
        << " " << m.rope_dim << " " << m.value_dim << " " << m.rope << " " << m.scale;
    const GatedDeltaConfig& d = l.delta;
    out << " delta " << d.n_key_heads << " " << d.n_value_heads << " " << d.key_dim << " "
        << d.value_dim << " " << d.kernel << " " << d.interleaved << " conv " << l.conv.kernel
        << " " << l.parallel << " " << l.residual_scale << " " << l.layer_input;
    out << " mlp " << l.mlp.width << " " << static_cast<int>(l.mlp.activation) << " "
        << l.mlp.gated;
    const MixtureConfig& x = l.mixture;
    out << " mixture " << static_cast<int>(x.weight) << " " << x.n_experts << " " << x.n_active
        << " " << x.width << " " << x.shared_width << " " << x.normalized << " " << x.scale << " "
        << x.n_groups << " " << x.n_active_groups << " " << static_cast<int>(x.activation) << "\n";
    for (const ModelTensor& tensor : l.tensors) write_tensor(out, tensor);
}

inline std::string summary(const ModelConfig& c) {
    std::ostringstream out;
    out.precision(17);
    out << c.architecture << " " << c.max_position << " " << static_cast<int>(c.norm) << " "
        << c.norm_eps << " " << c.embedding_scale << " " << c.logit_scale << " " << c.logit_softcap
        << " " << c.tie_embeddings << " ";
    write_list(out, c.bos_ids);
    write_list(out, c.eos_ids);
    write_list(out, c.foreign);
    for (const RopeConfig& rope : c.ropes) write_rope(out, rope);
    write_tensor(out, c.embedding);
    if (c.layer_inputs.width > 0)
        for (const ModelTensor* t :
             {&c.layer_inputs.embedding, &c.layer_inputs.projection, &c.layer_inputs.norm})
            write_tensor(out, *t);
    for (const LayerConfig& layer : c.layers) write_layer(out, layer);
    write_tensor(out, c.final_norm);
    write_tensor(out, c.head);
    return out.str();
}

}  // namespace vq::test
