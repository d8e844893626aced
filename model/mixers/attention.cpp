// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/gemm.h"
#include "model/ops/token_tiles.h"

namespace vq {

namespace {

constexpr Index query_rows = 128;  // queries a tile of attention; their scores stay in L2

/// What the queries of one sequence may look at: row i stands at position base + i.
struct SeenKeys {
    const float* keys = nullptr;
    const float* values = nullptr;
    Index stride = 0;  ///< between rows
    Index base = 0;
};

/// Keys and values of one sequence, already turned.
class KeyValueState final : public MixerState {
public:
    Matrix keys;     ///< size (capacity, kv_heads * head_dim)
    Matrix values;   ///< size (capacity, kv_heads * head_dim)
    Index ring = 0;  ///< above 0: position p is in row p % ring
    /// What the queries of the last call looked at, for layers that borrow it.
    SeenKeys seen;
    std::vector<float> laid_out;  ///< where a ring alone does not hold it
};

/// A layer that looks at the keys and values of another one keeps none.
class BorrowedState final : public MixerState {
public:
    explicit BorrowedState(const MixerState& state)
        : lender(static_cast<const KeyValueState&>(state)) {}
    const KeyValueState& lender;
};

/// The first position that a query at `position` sees.
Index first_seen(const AttentionConfig& heads, Index position) {
    if (heads.window > 0) return std::max<Index>(0, position - heads.window + 1);
    return heads.chunk > 0 ? position / heads.chunk * heads.chunk : 0;
}

// `rows` queries of one head, the first of which stands at position `first`.
struct HeadTile {
    const float* q;
    Index ldq;
    const float* k;
    const float* v;
    Index ldk;
    Index base;  ///< the position of k's first row
    float* out;
    Index ldo;
    const float* sink;  ///< may be null
};

void attend(const HeadTile& head, const AttentionConfig& heads, Index first, Index rows,
            const Kernels& kernel, ScratchPool& scratch) {
    const Index head_dim = heads.head_dim;
    const Index begin = first_seen(heads, first);
    const Index keys = first + rows - begin;
    const Index skip = (begin - head.base) * head.ldk;
    const auto buffer = scratch.floats(rows * keys);
    float* scores = buffer.floats();
    sgemm_serial(false, true, rows, keys, head_dim, static_cast<float>(heads.scale), head.q,
                 head.ldq, head.k + skip, head.ldk, 0.0F, scores, keys);
    float inverse[query_rows];
    for (Index i = 0; i < rows; ++i) {
        float* row = scores + i * keys;
        const Index from = first_seen(heads, first + i) - begin;
        const Index end = first + i + 1 - begin;
        float* const seen = row + from;
        if (heads.softcap > 0) kernel.softcap(seen, end - from, static_cast<float>(heads.softcap));
        float top = kernel.max(seen, end - from);
        if (head.sink != nullptr) top = std::max(top, *head.sink);
        float sum = kernel.exp_in_place(seen, end - from, top);
        if (head.sink != nullptr) sum += std::exp(*head.sink - top);
        inverse[i] = 1.0F / sum;
        std::fill(row, seen, 0.0F);
        std::fill(row + end, row + keys, 0.0F);
    }
    sgemm_serial(false, false, rows, head_dim, keys, 1.0F, scores, keys, head.v + skip, head.ldk,
                 0.0F, head.out, head.ldo);
    for (Index i = 0; i < rows; ++i)
        Eigen::Map<Vector>(head.out + i * head.ldo, head_dim) *= inverse[i];
}

/// The norm of the heads of q, or of k.
struct HeadNorms {
    bool layer = false;
    Index width = 0;  ///< of what one norm covers; 0: there is none
    Index step = 0;   ///< between the weights of a head and the next
    Vector weight;
    float eps = 0;

    void apply(float* x, Index heads, Index stride, const Kernels& kernel) const {
        for (Index h = 0; h < heads; ++h) {
            float* const head = x + h * stride;
            const float* const w = weight.data() + h * step;
            if (layer)
                kernel.layer_norm(head, w, nullptr, width, eps, head);
            else
                kernel.rms_norm(head, w, width, eps, head);
        }
    }
};

HeadNorms load_head_norms(const LayerWeights& weights, TensorRole role) {
    const ModelConfig& model = weights.source.config();
    const AttentionConfig& heads = weights.config().attention;
    HeadNorms out;
    out.eps = static_cast<float>(model.norm_eps);
    out.width = heads.head_dim;
    switch (heads.head_norm) {
        case HeadNorm::none: return {};
        case HeadNorm::unit_after_rope: out.weight = Vector::Ones(heads.head_dim); return out;
        case HeadNorm::each_head:
            out.weight = weights.vector(role);
            if (model.norm == NormKind::rms_plus_one) out.weight.array() += 1.0F;
            break;
        case HeadNorm::each_head_layer:
            out.weight = weights.vector(role);
            out.layer = true;
            out.step = out.weight.size() > heads.head_dim ? heads.head_dim : 0;
            break;
        case HeadNorm::whole:
            out.weight = weights.vector(role);
            out.width = out.weight.size();
            break;
        case HeadNorm::after_rope: out.weight = weights.vector(role); break;
    }
    VQ_ASSERT(out.step > 0 || out.weight.size() == out.width);
    return out;
}

class Attention final : public TokenMixer {
public:
    Attention(const BlockContext& context, const LayerWeights& weights)
        : context_(context),
          heads_(weights.config().attention),
          qkv_(weights.group(GroupKind::qkv)),
          q_norm_(load_head_norms(weights, TensorRole::query_norm)),
          k_norm_(heads_.keys_from < 0 ? load_head_norms(weights, TensorRole::key_norm)
                                       : HeadNorms{}),
          q_stride_(heads_.output_gate ? 2 * heads_.head_dim : heads_.head_dim),
          k_at_(heads_.n_heads * q_stride_),
          kv_width_(heads_.n_kv_heads * heads_.head_dim),
          width_(k_at_ + (heads_.keys_from < 0 ? 2 * kv_width_ : 0)) {
        if (heads_.value_norm) unit_ = Vector::Ones(heads_.head_dim);
        if (heads_.sinks) sinks_ = weights.vector(TensorRole::sinks);
        VQ_ASSERT(qkv_.out() == width_ - (copies_keys() ? kv_width_ : 0));
        VQ_ASSERT(!heads_.output_gate || heads_.head_norm != HeadNorm::whole);
        VQ_ASSERT(heads_.window == 0 || heads_.chunk == 0);
    }

    void mix(const float* x, Index tokens, Index past, MixerState* state, float* out,
             ScratchPool& scratch) const override {
        VQ_ASSERT(state != nullptr || (past == 0 && heads_.keys_from < 0 && !heads_.lends_keys));
        const auto buffer = scratch.floats(tokens * width_);
        float* const rows = buffer.floats();
        for_token_tiles(tokens, [&](Index first, Index count) {
            project(x + first * qkv_.in(), count, rows + first * width_, scratch);
            for (Index t = first; t < first + count; ++t) finish(rows + t * width_, past + t);
        });
        if (state == nullptr) {
            attend_all(rows, tokens, 0, {rows + k_at_, rows + k_at_ + kv_width_, width_, 0}, out,
                       scratch);
            return;
        }
        if (heads_.keys_from >= 0) {
            attend_all(rows, tokens, past, static_cast<BorrowedState&>(*state).lender.seen, out,
                       scratch);
            return;
        }
        auto& cache = static_cast<KeyValueState&>(*state);
        cache.seen = {cache.keys.data(), cache.values.data(), kv_width_, 0};
        if (cache.ring == 0) {
            store(rows, tokens, past, cache);
        } else if (tokens == 1) {
            // All rows of the ring are seen, in whatever order they stand there.
            store(rows, 1, past, cache);
            cache.seen.base = first_seen(heads_, past);
        } else {
            attend_behind_ring(rows, tokens, past, cache, out, scratch);
            return;
        }
        attend_all(rows, tokens, past, cache.seen, out, scratch);
    }

    std::int64_t weight_bytes() const override { return qkv_.weight_bytes(); }

private:
    /// The products make q and k, and v is a copy of k.
    bool copies_keys() const { return heads_.keys_from < 0 && heads_.keys_are_values; }

    /// rows (tokens, width): q, k and v of x (tokens, hidden) as the products make them.
    void project(const float* x, Index tokens, float* rows, ScratchPool& scratch) const {
        if (!copies_keys()) {
            qkv_.apply(x, tokens, rows, scratch);
            return;
        }
        const Index made = qkv_.out();
        const auto products = scratch.floats(tokens * made);
        qkv_.apply(x, tokens, products.floats(), scratch);
        for (Index t = 0; t < tokens; ++t) {
            const float* const from = products.floats() + t * made;
            std::copy_n(from, made, rows + t * width_);
            std::copy_n(from + k_at_, kv_width_, rows + t * width_ + made);
        }
    }

    /// From the products of a token to its q, k and v.
    void finish(float* row, Index position) const {
        const Kernels& kernel = *context_.kernel;
        float* const k = row + k_at_;
        const Index n_keys = heads_.keys_from < 0 ? heads_.n_kv_heads : 0;
        for (Index h = 0; h < n_keys && heads_.value_norm; ++h) {
            float* const v = k + kv_width_ + h * heads_.head_dim;
            kernel.rms_norm(v, unit_.data(), heads_.head_dim,
                            static_cast<float>(context_.config.norm_eps), v);
        }
        const auto norm = [&] {
            const bool whole = heads_.head_norm == HeadNorm::whole;
            q_norm_.apply(row, whole ? 1 : heads_.n_heads, q_stride_, kernel);
            k_norm_.apply(k, whole ? std::min<Index>(1, n_keys) : n_keys, heads_.head_dim, kernel);
        };
        const bool after = heads_.head_norm == HeadNorm::after_rope ||
                           heads_.head_norm == HeadNorm::unit_after_rope;
        if (heads_.head_norm != HeadNorm::none && !after) norm();
        if (heads_.rope >= 0) {
            const RopeTable& rope = context_.ropes[static_cast<std::size_t>(heads_.rope)];
            rope.rotate(row, heads_.n_heads, q_stride_, position, kernel);
            rope.rotate(k, n_keys, heads_.head_dim, position, kernel);
        }
        if (after) norm();
        if (heads_.query_growth <= 0) return;
        const double periods =
            (static_cast<double>(position) + heads_.query_shift) / heads_.query_period;
        const double growth = 1 + heads_.query_growth * std::log(1 + std::floor(periods));
        for (Index h = 0; h < heads_.n_heads; ++h)
            Eigen::Map<Vector>(row + h * q_stride_, heads_.head_dim) *= static_cast<float>(growth);
    }

    /// Keys and values of the last tokens, as many as the cache keeps.
    void store(const float* rows, Index tokens, Index past, KeyValueState& cache) const {
        const Index size = cache.ring > 0 ? cache.ring : cache.keys.rows();
        VQ_ASSERT(cache.ring > 0 || past + tokens <= size);
        for (Index t = std::max<Index>(0, tokens - size); t < tokens; ++t) {
            const float* const k = rows + t * width_ + k_at_;
            std::copy_n(k, kv_width_, cache.keys.row((past + t) % size).data());
            std::copy_n(k + kv_width_, kv_width_, cache.values.row((past + t) % size).data());
        }
    }

    /// Several tokens behind what a ring holds: old rows and new ones in the order of positions.
    void attend_behind_ring(const float* rows, Index tokens, Index past, KeyValueState& cache,
                            float* out, ScratchPool& scratch) const {
        const Index from = first_seen(heads_, past);
        const Index count = past + tokens - from;
        const auto room = scratch.floats(heads_.lends_keys ? 0 : 2 * count * kv_width_);
        if (heads_.lends_keys)
            cache.laid_out.resize(static_cast<std::size_t>(2 * count * kv_width_));
        float* const keys = heads_.lends_keys ? cache.laid_out.data() : room.floats();
        float* const values = keys + count * kv_width_;
        for (Index p = from; p < past; ++p) {
            const Index at = (p - from) * kv_width_;
            std::copy_n(cache.keys.row(p % cache.ring).data(), kv_width_, keys + at);
            std::copy_n(cache.values.row(p % cache.ring).data(), kv_width_, values + at);
        }
        for (Index t = 0; t < tokens; ++t) {
            const Index at = (past + t - from) * kv_width_;
            const float* const k = rows + t * width_ + k_at_;
            std::copy_n(k, kv_width_, keys + at);
            std::copy_n(k + kv_width_, kv_width_, values + at);
        }
        store(rows, tokens, past, cache);
        cache.seen = {keys, values, kv_width_, from};
        attend_all(rows, tokens, past, cache.seen, out, scratch);
    }

    void attend_all(const float* rows, Index tokens, Index past, const SeenKeys& seen, float* out,
                    ScratchPool& scratch) const {
        const Index head_dim = heads_.head_dim;
        const Index out_width = heads_.n_heads * head_dim;
        const Index query_tiles = (tokens + query_rows - 1) / query_rows;
        const Index heads_per_kv = heads_.n_heads / heads_.n_kv_heads;
        const Index work = 2 * tokens * (past + tokens - first_seen(heads_, past)) * out_width;
        parallel_for_work(query_tiles * heads_.n_heads, work, [&](Index item) {
            // Late tiles attend to the most keys: they come first, so that no thread ends alone.
            const Index first = (query_tiles - 1 - item / heads_.n_heads) * query_rows;
            const Index h = item % heads_.n_heads;
            const Index kv = h / heads_per_kv * head_dim;
            const Index count = std::min(query_rows, tokens - first);
            const float* const q = rows + first * width_ + h * q_stride_;
            const HeadTile head{.q = q,
                                .ldq = width_,
                                .k = seen.keys + kv,
                                .v = seen.values + kv,
                                .ldk = seen.stride,
                                .base = seen.base,
                                .out = out + first * out_width + h * head_dim,
                                .ldo = out_width,
                                .sink = sinks_.size() > 0 ? sinks_.data() + h : nullptr};
            attend(head, heads_, past + first, count, *context_.kernel, scratch);
            if (!heads_.output_gate) return;
            for (Index t = 0; t < count; ++t) {
                float* const y = head.out + t * out_width;
                context_.kernel->sigmoid_mul(q + t * width_ + head_dim, y, head_dim, y);
            }
        });
    }

    const BlockContext& context_;
    AttentionConfig heads_;
    Linear qkv_;
    HeadNorms q_norm_;
    HeadNorms k_norm_;
    Vector sinks_;
    Index q_stride_;  ///< between heads of q, and their gates
    Index k_at_;      ///< of a row of products, where k begins
    Index kv_width_;
    Index width_;  ///< of a row: q with its gates, and k and v where the layer has its own
    Vector unit_;  ///< weights of the norm of v
};

}  // namespace

std::unique_ptr<TokenMixer> make_attention(const BlockContext& context,
                                           const LayerWeights& weights) {
    return std::make_unique<Attention>(context, weights);
}

std::unique_ptr<MixerState> make_attention_state(const LayerConfig& layer, Index capacity,
                                                 const MixerState* lender) {
    const AttentionConfig& heads = layer.attention;
    if (heads.keys_from >= 0) {
        VQ_ASSERT(lender != nullptr);
        return std::make_unique<BorrowedState>(*lender);
    }
    const Index most = std::max(heads.window, heads.chunk);
    auto state = std::make_unique<KeyValueState>();
    state->ring = most > 0 && most < capacity ? most : 0;
    const Index rows = state->ring > 0 ? state->ring : capacity;
    state->keys.resize(rows, heads.n_kv_heads * heads.head_dim);
    state->values.resize(rows, heads.n_kv_heads * heads.head_dim);
    return state;
}

}  // namespace vq
