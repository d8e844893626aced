// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_tensors.h"

#include "base/error.h"
#include "io/families/gguf_metadata.h"

namespace vq {
namespace {

using Rows = std::vector<std::int64_t>;

Rows in_order(std::int64_t count) {
    Rows rows;
    for (std::int64_t i = 0; i < count; ++i) rows.push_back(i);
    return rows;
}

/// The two halves of every rotary pair stand side by side in a file.
Rows paired_rows(std::int64_t count, std::int64_t heads) {
    const std::int64_t size = count / heads;
    Rows rows = in_order(count);
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t in_head = i % size;
        const std::int64_t half = in_head / (size / 2);
        rows[static_cast<std::size_t>(i)] = i - in_head + 2 * (in_head % (size / 2)) + half;
    }
    return rows;
}

/// From `first` on, the value heads (of `size` rows) of a gated delta net stand tiled over the key
/// heads in a file, not grouped by them.
Rows tiled_rows(const GatedDeltaConfig& delta, std::int64_t first, std::int64_t size) {
    const std::int64_t group = delta.n_value_heads / delta.n_key_heads;
    Rows rows = in_order(first + delta.n_value_heads * size);
    for (std::int64_t h = 0; h < delta.n_value_heads; ++h)
        for (std::int64_t i = 0; i < size; ++i) {
            const std::int64_t tiled = h % group * delta.n_key_heads + h / group;
            rows[static_cast<std::size_t>(first + h * size + i)] = first + tiled * size + i;
        }
    return rows;
}

/// Rows of q, k, v and z that stand together for every key head in a HF tensor, and one kind after
/// the other in a file.
Rows by_kind_rows(const GatedDeltaConfig& delta) {
    const std::int64_t group = delta.n_value_heads / delta.n_key_heads * delta.value_dim;
    const std::int64_t sizes[] = {delta.key_dim, delta.key_dim, group, group};
    Rows rows;
    for (std::int64_t h = 0; h < delta.n_key_heads; ++h) {
        std::int64_t first = 0;
        for (const std::int64_t size : sizes) {
            for (std::int64_t i = 0; i < size; ++i) rows.push_back(first + h * size + i);
            first += delta.n_key_heads * size;
        }
    }
    return rows;
}

bool is_folded_norm(TensorRole role) {
    switch (role) {
        case TensorRole::attention_norm:
        case TensorRole::attention_post_norm:
        case TensorRole::query_norm:
        case TensorRole::key_norm:
        case TensorRole::mlp_norm:
        case TensorRole::mlp_post_norm:
        case TensorRole::final_norm: return true;
        default: return false;
    }
}

std::vector<std::string> parts_of(const std::string& names) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= names.size();) {
        const std::size_t end = std::min(names.find('|', begin), names.size());
        parts.push_back(names.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

class Lister {
public:
    Lister(const Family& family, const std::function<bool(const std::string&)>& has)
        : family_(family), has_(has) {}

    void add(const ModelTensor& tensor, const LayerConfig& layer) {
        if (tensor.gguf_name.empty()) return;
        GgufSource weight;
        weight.name = tensor.weight();
        weight.expert = tensor.expert;
        for (const std::string& part : parts_of(tensor.gguf_name))
            weight.tensors.push_back(gguf_weight_name(part));
        if (weight.tensors.size() > 1) weight.part_rows = rows_of_parts(tensor, layer);
        if (tensor.gguf_pair_heads > 0)
            weight.rows = paired_rows(tensor.rows, tensor.gguf_pair_heads);
        if (family_.gguf.folded_norms && is_folded_norm(tensor.role))
            weight.change = GgufSource::Change::minus_one;
        if (layer.mixer == Mixer::gated_delta) order_delta(tensor, layer.delta, weight);
        if (tensor.role == TensorRole::latent_key_value_up) split_latent(layer.latent, weight);
        GgufSource bias = weight;
        sources_.push_back(std::move(weight));
        if (!tensor.bias) return;
        bias.name = tensor.bias_name();
        bias.change = GgufSource::Change::none;
        bias.cols.clear();
        bias.tensors.clear();
        for (const std::string& part : parts_of(tensor.gguf_name))
            bias.tensors.push_back(part + ".bias");
        sources_.push_back(std::move(bias));
    }
    std::vector<GgufSource> take() { return std::move(sources_); }

private:
    /// Of the two tensors that a file has for one.
    static std::vector<std::int64_t> rows_of_parts(const ModelTensor& tensor,
                                                   const LayerConfig& layer) {
        const bool delta = tensor.role == TensorRole::delta_query_key_value_gate;
        VQ_ASSERT(delta || tensor.role == TensorRole::gate_up ||
                  tensor.role == TensorRole::expert_gate_up);
        const std::int64_t last =
            delta ? layer.delta.n_value_heads * layer.delta.value_dim : tensor.rows / 2;
        return {tensor.rows - last, last};
    }

    void order_delta(const ModelTensor& tensor, const GatedDeltaConfig& delta,
                     GgufSource& source) const {
        if (tensor.role == TensorRole::delta_log_decay)
            source.change = GgufSource::Change::log_of_negative;
        if (tensor.role == TensorRole::delta_query_key_value_gate)
            source.rows = by_kind_rows(delta);
        if (!family_.gguf.delta_tiled) return;
        const std::int64_t keys = 2 * delta.n_key_heads * delta.key_dim;
        switch (tensor.role) {
            case TensorRole::delta_query_key_value:
            case TensorRole::delta_conv:
                source.rows = tiled_rows(delta, keys, delta.value_dim);
                break;
            case TensorRole::delta_gate: source.rows = tiled_rows(delta, 0, delta.value_dim); break;
            case TensorRole::delta_write:
            case TensorRole::delta_decay:
            case TensorRole::delta_log_decay:
            case TensorRole::delta_decay_bias: source.rows = tiled_rows(delta, 0, 1); break;
            case TensorRole::delta_out: source.cols = tiled_rows(delta, 0, delta.value_dim); break;
            default: break;
        }
    }

    /// Newer files hold the parts of keys and of values apart.
    void split_latent(const LatentAttentionConfig& latent, GgufSource& source) const {
        if (has_(source.tensors.front())) return;
        const std::string block =
            source.tensors.front().substr(0, source.tensors.front().rfind("attn_kv_b"));
        source.tensors = {block + "attn_k_b.weight", block + "attn_v_b.weight"};
        source.latent_heads = latent.n_heads;
        source.part_rows = {latent.plain_dim, latent.value_dim};
    }

    const Family& family_;
    const std::function<bool(const std::string&)>& has_;
    std::vector<GgufSource> sources_;
};

}  // namespace

std::vector<GgufSource> gguf_sources(const ModelConfig& config,
                                     const std::function<bool(const std::string&)>& has,
                                     std::span<const Family> table) {
    const Family* family = nullptr;
    for (const Family& row : table)
        if (row.model_type == config.architecture) family = &row;
    VQ_ASSERT(family != nullptr);
    Lister lister(*family, has);
    const LayerConfig of_no_block;
    for_each_tensor(config, [&](const ModelTensor& tensor, const LayerConfig* layer) {
        lister.add(tensor, layer == nullptr ? of_no_block : *layer);
    });
    if (config.tie_embeddings) lister.add(config.head, {});  // which a file may have all the same
    return lister.take();
}

}  // namespace vq
