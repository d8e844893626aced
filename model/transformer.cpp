// SPDX-License-Identifier: Apache-2.0
#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/cpu.h"
#include "base/error.h"
#include "base/gemm.h"
#include "io/families/linear_groups.h"
#include "model/packed_linear.h"
#include "model/work_split.h"

namespace vq {

namespace {

constexpr Index query_rows = 128;  // queries a tile of attention; their scores stay in L2

/// The tensors of a group, in the order in which Linear stacks them.
std::vector<const ModelTensor*> members(const LayerConfig& layer, GroupKind group) {
    std::vector<const ModelTensor*> out;
    for (const ModelTensor& tensor : layer.tensors)
        if (group_of(tensor.role) == group) out.push_back(&tensor);
    return out;
}

Vector load_vector(const WeightSource& source, const std::string& name) {
    const Matrix row = source.read(name);
    VQ_ASSERT(row.rows() == 1);
    return row.row(0).transpose();
}

// Calls f(first, count) for token tiles: tile by tile, so that what a tile makes is still in the
// cache for its next use.
template <class F>
void for_token_tiles(Index tokens, F&& f) {
    parallel_for_outer((tokens + Linear::tile_tokens - 1) / Linear::tile_tokens, [&](Index t) {
        const Index first = t * Linear::tile_tokens;
        f(first, std::min(Linear::tile_tokens, tokens - first));
    });
}

// Attention of `rows` queries of one head, the first of which stands at position `first`.
// q: rows `ldq` apart; k and v: rows `ldk` apart, from position 0; out: rows `ldo` apart.
struct HeadTile {
    const float* q;
    Index ldq;
    const float* k;
    const float* v;
    Index ldk;
    float* out;
    Index ldo;
};

void attend(const HeadTile& head, Index head_dim, Index first, Index rows, const Kernels& kernel,
            ScratchPool& scratch) {
    const Index keys = first + rows;
    const auto buffer = scratch.floats(rows * keys);
    float* scores = buffer.floats();
    const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    sgemm_serial(false, true, rows, keys, head_dim, scale, head.q, head.ldq, head.k, head.ldk, 0.0F,
                 scores, keys);
    float inverse[query_rows];
    for (Index i = 0; i < rows; ++i) {
        float* row = scores + i * keys;
        const Index seen = first + i + 1;
        inverse[i] = 1.0F / kernel.exp_in_place(row, seen, kernel.max(row, seen));
        std::fill(row + seen, row + keys, 0.0F);
    }
    sgemm_serial(false, false, rows, head_dim, keys, 1.0F, scores, keys, head.v, head.ldk, 0.0F,
                 head.out, head.ldo);
    for (Index i = 0; i < rows; ++i)
        Eigen::Map<Vector>(head.out + i * head.ldo, head_dim) *= inverse[i];
}

}  // namespace

Vector load_norm(const WeightSource& source, const ModelTensor& norm) {
    return load_vector(source, norm.weight());
}

Linear load_group(const WeightSource& source, Index layer, GroupKind group, Precision precision,
                  const Replacements* replacements, Index first, Index count) {
    const auto all = members(source.config().layers[static_cast<std::size_t>(layer)], group);
    const Index last = count == 0 ? static_cast<Index>(all.size()) : first + count;
    const bool biased = std::any_of(all.begin() + first, all.begin() + last,
                                    [](const ModelTensor* t) { return t->bias; });
    // Packed weights are used as they lie unless some of them are replaced.
    const auto packed = replacements == nullptr && precision != Precision::bf16
                            ? source.packed()
                            : std::shared_ptr<const PackedWeights>();
    const auto replaced = [&](const std::string& name) -> const Matrix* {
        if (replacements == nullptr) return nullptr;
        const auto at = replacements->find(name);
        return at == replacements->end() ? nullptr : &at->second;
    };
    std::vector<std::string> names;
    std::vector<Matrix> own;
    own.reserve(all.size());
    std::vector<const Matrix*> weights;
    std::vector<float> bias;
    for (Index i = first; i < last; ++i) {
        const ModelTensor& tensor = *all[static_cast<std::size_t>(i)];
        const std::string& name = names.emplace_back(tensor.weight());
        const Matrix* weight = replaced(name);
        if (weight == nullptr && packed == nullptr) weight = &own.emplace_back(source.read(name));
        weights.push_back(weight);
        if (!biased) continue;
        if (!tensor.bias) {
            bias.insert(bias.end(), static_cast<std::size_t>(tensor.rows), 0.0F);
            continue;
        }
        const Matrix* own_bias = replaced(tensor.name + ".bias");
        const Vector piece = own_bias != nullptr ? Vector(own_bias->row(0).transpose())
                                                 : load_vector(source, tensor.name + ".bias");
        VQ_ASSERT(piece.size() == tensor.rows);
        bias.insert(bias.end(), piece.begin(), piece.end());
    }
    const Vector all_bias = Eigen::Map<const Vector>(bias.data(), static_cast<Index>(bias.size()));
    if (packed != nullptr)
        return {PackedLinear(packed, names, precision == Precision::fp32), all_bias};
    return {std::span<const Matrix* const>(weights), all_bias, precision};
}

MlpWeights load_mlp(const WeightSource& source, Index layer, Precision precision,
                    const Replacements* replacements) {
    return {load_group(source, layer, GroupKind::gate_up, precision, replacements, 0, 1),
            load_group(source, layer, GroupKind::gate_up, precision, replacements, 1, 1)};
}

BlockContext::BlockContext(const ModelConfig& model, Index positions)
    : config(model), rope(model.ropes.front(), positions), kernel(&kernels(active_isa())) {}

void norm_rows(const BlockContext& block, const float* x, Index tokens, const Vector& weight,
               float* out) {
    const Index n = weight.size();
    const auto eps = static_cast<float>(block.config.norm_eps);
    for (Index t = 0; t < tokens; ++t)
        block.kernel->rms_norm(x + t * n, weight.data(), n, eps, out + t * n);
}

void attention(const BlockContext& block, const LayerConfig& layer, const Vector& norm,
               const Linear& qkv, const float* stream, Index tokens, Index past, LayerCache* cache,
               float* out, ScratchPool& scratch) {
    const Index hidden = block.config.hidden_size;
    const Index head_dim = layer.attention.head_dim;
    const Index q_width = layer.attention.n_heads * head_dim;
    const Index kv_width = layer.attention.n_kv_heads * head_dim;
    const Index width = q_width + 2 * kv_width;
    VQ_ASSERT(qkv.in() == hidden && qkv.out() == width);
    VQ_ASSERT(cache != nullptr ? past + tokens <= cache->keys.rows() : past == 0);

    const auto buffer = scratch.floats(tokens * width);
    float* rows = buffer.floats();
    for_token_tiles(tokens, [&](Index first, Index count) {
        const auto x = scratch.floats(count * hidden);
        norm_rows(block, stream + first * hidden, count, norm, x.floats());
        qkv.apply(x.floats(), count, rows + first * width, scratch);
        for (Index t = first; t < first + count; ++t) {
            float* row = rows + t * width;
            block.rope.rotate(row, layer.attention.n_heads + layer.attention.n_kv_heads, past + t,
                              *block.kernel);
            if (cache == nullptr) continue;
            std::copy_n(row + q_width, kv_width, cache->keys.row(past + t).data());
            std::copy_n(row + q_width + kv_width, kv_width, cache->values.row(past + t).data());
        }
    });

    const Index query_tiles = (tokens + query_rows - 1) / query_rows;
    const Index heads_per_kv = layer.attention.n_heads / layer.attention.n_kv_heads;
    const Index work = 2 * tokens * (past + tokens) * q_width;
    parallel_for_work(query_tiles * layer.attention.n_heads, work, [&](Index item) {
        // Late tiles attend to the most keys: they come first, so that no thread ends alone.
        const Index first = (query_tiles - 1 - item / layer.attention.n_heads) * query_rows;
        const Index h = item % layer.attention.n_heads;
        const Index kv = h / heads_per_kv * head_dim;
        const HeadTile head{
            .q = rows + first * width + h * head_dim,
            .ldq = width,
            .k = cache != nullptr ? cache->keys.data() + kv : rows + q_width + kv,
            .v = cache != nullptr ? cache->values.data() + kv : rows + q_width + kv_width + kv,
            .ldk = cache != nullptr ? kv_width : width,
            .out = out + first * q_width + h * head_dim,
            .ldo = q_width};
        attend(head, head_dim, past + first, std::min(query_rows, tokens - first), *block.kernel,
               scratch);
    });
}

void mlp_hidden(const BlockContext& block, const Vector& norm, const MlpWeights& mlp,
                const float* stream, Index tokens, float* out, ScratchPool& scratch) {
    const Index hidden = block.config.hidden_size;
    const Index inner = mlp.gate.out();
    VQ_ASSERT(mlp.gate.in() == hidden && mlp.up.in() == hidden && mlp.up.out() == inner);
    for_token_tiles(tokens, [&](Index first, Index count) {
        const auto x = scratch.floats(count * hidden);
        norm_rows(block, stream + first * hidden, count, norm, x.floats());
        if (count == 1 && mlp.gate.packed()) {
            const auto up = scratch.floats(inner);
            const Linear* const both[] = {&mlp.gate, &mlp.up};
            float* const to[] = {out + first * inner, up.floats()};
            Linear::apply_together(both, x.floats(), to, scratch);
            block.kernel->silu_mul(to[0], to[1], inner, to[0]);
            return;
        }
        const auto rounded = scratch.bytes(mlp.gate.operand_bytes(count));
        const void* operand = mlp.gate.operand(x.floats(), count, rounded.data());
        parallel_for_work(mlp.gate.blocks(), 2 * count * hidden * inner, [&](Index b) {
            const Index begin = mlp.gate.block_begin(b);
            const Index n = mlp.gate.block_end(b) - begin;
            const auto gate = scratch.floats(count * n);
            const auto up = scratch.floats(count * n);
            mlp.gate.apply_block(operand, count, b, gate.floats(), scratch);
            mlp.up.apply_block(operand, count, b, up.floats(), scratch);
            for (Index t = 0; t < count; ++t)
                block.kernel->silu_mul(gate.floats() + t * n, up.floats() + t * n, n,
                                       out + (first + t) * inner + begin);
        });
    });
}

void add_product(const Linear& w, const float* x, Index tokens, float* stream,
                 ScratchPool& scratch) {
    for_token_tiles(tokens, [&](Index first, Index count) {
        const auto rounded = scratch.bytes(w.operand_bytes(count));
        const void* operand = w.operand(x + first * w.in(), count, rounded.data());
        parallel_for_work(w.blocks(), count * w.in() * w.out(), [&](Index b) {
            const Index begin = w.block_begin(b);
            const Index n = w.block_end(b) - begin;
            const auto y = scratch.floats(count * n);
            w.apply_block(operand, count, b, y.floats(), scratch);
            for (Index t = 0; t < count; ++t)
                Eigen::Map<Vector>(stream + (first + t) * w.out() + begin, n) +=
                    Eigen::Map<const Vector>(y.floats() + t * n, n);
        });
    });
}

Block::Block(const WeightSource& source, Index layer, Precision precision)
    : config(source.config().layers[static_cast<std::size_t>(layer)]),
      attention_norm(load_norm(source, config.tensor(TensorRole::attention_norm))),
      mlp_norm(load_norm(source, config.tensor(TensorRole::mlp_norm))),
      qkv(load_group(source, layer, GroupKind::qkv, precision)),
      attention_out(load_group(source, layer, GroupKind::attention_out, precision)),
      mlp(load_mlp(source, layer, precision)),
      down(load_group(source, layer, GroupKind::down, precision)) {}

void Block::forward(const BlockContext& block, float* stream, Index tokens, Index past,
                    LayerCache* cache, ScratchPool& scratch) const {
    {
        const auto a =
            scratch.floats(tokens * config.attention.n_heads * config.attention.head_dim);
        attention(block, config, attention_norm, qkv, stream, tokens, past, cache, a.floats(),
                  scratch);
        add_product(attention_out, a.floats(), tokens, stream, scratch);
    }
    for_token_tiles(tokens, [&](Index first, Index count) {
        float* rows = stream + first * block.config.hidden_size;
        const auto h = scratch.floats(count * config.mlp.width);
        mlp_hidden(block, mlp_norm, mlp, rows, count, h.floats(), scratch);
        add_product(down, h.floats(), count, rows, scratch);
    });
}

}  // namespace vq
