// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/latent_attention.h"

#include <algorithm>

#include "base/error.h"
#include "base/gemm.h"
#include "model/ops/token_tiles.h"

namespace vq {

namespace {

constexpr Index query_rows = 128;    // queries a tile of the expanded order: scores stay in L2
constexpr Index heads_together = 8;  // of the absorbed order, which share a pass over the cache

struct Shape {
    Index heads, plain, turned, value, rank;
    explicit Shape(const LatentAttentionConfig& c)
        : heads(c.n_heads),
          plain(c.plain_dim),
          turned(c.rope_dim),
          value(c.value_dim),
          rank(c.kv_rank) {}
    Index query() const { return plain + turned; }     // of a head
    Index queries() const { return heads * query(); }  // of a token
    Index latent() const { return rank + turned; }
    Index up() const { return plain + value; }  // rows of W of a head
};

// Softmax without its division of `rows` rows of scores, of which row i sees `first + i` keys and
// one more; inverse[i] is what is left to multiply with.
void soften(float* scores, Index ld, Index first, Index rows, const Kernels& kernel,
            float* inverse) {
    for (Index i = 0; i < rows; ++i) {
        float* const row = scores + i * ld;
        const Index seen = first + i + 1;
        inverse[i] = 1.0F / kernel.exp_in_place(row, seen, kernel.max(row, seen));
        std::fill(row + seen, row + ld, 0.0F);
    }
}

// The cache: what make_latent() makes of every token.
class LatentState final : public MixerState {
public:
    Matrix latents;  ///< size (capacity, kv_rank + rope_dim)
};

class LatentAttention final : public TokenMixer {
public:
    LatentAttention(const BlockContext& context, const LayerWeights& weights)
        : config_(weights.config().latent),
          rope_(context.ropes[static_cast<std::size_t>(config_.rope)]),
          kernel_(*context.kernel),
          down_(weights.group(GroupKind::qkv)),
          latent_norm_(weights.vector(TensorRole::latent_key_value_norm)),
          up_(weights.matrix(TensorRole::latent_key_value_up)) {
        if (!two_steps()) return;
        query_norm_ = weights.vector(TensorRole::latent_query_norm);
        query_up_ = weights.group(GroupKind::latent_query);
    }

    void mix(const float* x, Index tokens, Index past, MixerState* state, float* out,
             ScratchPool& scratch) const override {
        VQ_ASSERT(state != nullptr || past == 0);
        const Shape n(config_);
        const auto own = scratch.floats(state != nullptr ? 0 : tokens * n.latent());
        float* const latents =
            state != nullptr ? static_cast<LatentState*>(state)->latents.data() : own.floats();
        VQ_ASSERT(state == nullptr ||
                  past + tokens <= static_cast<LatentState*>(state)->latents.rows());
        const auto queries = scratch.floats(tokens * n.queries());
        for_token_tiles(tokens, [&](Index first, Index count) {
            const auto rows = scratch.floats(count * down_.out());
            down_.apply(x + first * down_.in(), count, rows.floats(), scratch);
            float* const q = queries.floats() + first * n.queries();
            make_queries(rows.floats(), count, q, scratch);
            for (Index t = 0; t < count; ++t) {
                const Index position = past + first + t;
                turn_query(config_, rope_, kernel_, q + t * n.queries(), position);
                make_latent(config_, latent_norm_, rope_, kernel_,
                            rows.floats() + t * down_.out() + query_part(), position,
                            latents + position * n.latent());
            }
        });
        latent_attention(config_, kernel_, up_, queries.floats(), latents, tokens, past, out,
                         scratch);
    }

    void inputs(GroupKind group, const float* x, Index tokens, float* out,
                ScratchPool& scratch) const override {
        const bool query = group == GroupKind::latent_query;
        VQ_ASSERT(query ? two_steps() : group == GroupKind::latent_kv);
        const Vector& weight = query ? query_norm_ : latent_norm_;
        const Index width = weight.size();
        for_token_tiles(tokens, [&](Index first, Index count) {
            const auto rows = scratch.floats(count * down_.out());
            down_.apply(x + first * down_.in(), count, rows.floats(), scratch);
            for (Index t = 0; t < count; ++t)
                kernel_.rms_norm(rows.floats() + t * down_.out() + (query ? 0 : query_part()),
                                 weight.data(), width, latent_eps, out + (first + t) * width);
        });
    }

    std::int64_t weight_bytes() const override {
        return down_.weight_bytes() + (two_steps() ? query_up_.weight_bytes() : 0) +
               up_.size() * static_cast<Index>(sizeof(float));
    }

private:
    bool two_steps() const { return config_.query_rank > 0; }
    // Of the first product's outputs, those that become q.
    Index query_part() const { return two_steps() ? config_.query_rank : Shape(config_).queries(); }

    // q (count, queries()) of rows (count, down_.out()), before it turns.
    void make_queries(const float* rows, Index count, float* q, ScratchPool& scratch) const {
        const Index part = query_part();
        if (!two_steps()) {
            for (Index t = 0; t < count; ++t)
                std::copy_n(rows + t * down_.out(), part, q + t * part);
            return;
        }
        const auto normed = scratch.floats(count * part);
        for (Index t = 0; t < count; ++t)
            kernel_.rms_norm(rows + t * down_.out(), query_norm_.data(), part, latent_eps,
                             normed.floats() + t * part);
        query_up_.apply(normed.floats(), count, q, scratch);
    }

    LatentAttentionConfig config_;
    const RopeTable& rope_;
    const Kernels& kernel_;
    Linear down_;        ///< the query, or what becomes it, then the latent and the turning key
    Vector query_norm_;  ///< these two where the query is made in two steps
    Linear query_up_;
    Vector latent_norm_;
    Matrix up_;
};

}  // namespace

void make_latent(const LatentAttentionConfig& config, const Vector& norm, const RopeTable& rope,
                 const Kernels& kernel, const float* row, Index position, float* latent) {
    VQ_ASSERT(norm.size() == config.kv_rank);
    kernel.rms_norm(row, norm.data(), config.kv_rank, latent_eps, latent);
    std::copy_n(row + config.kv_rank, config.rope_dim, latent + config.kv_rank);
    rope.rotate(latent + config.kv_rank, 1, config.rope_dim, position, kernel);
}

void turn_query(const LatentAttentionConfig& config, const RopeTable& rope, const Kernels& kernel,
                float* query, Index position) {
    const Shape n(config);
    rope.rotate(query + n.plain, n.heads, n.query(), position, kernel);
}

void latent_attention_expanded(const LatentAttentionConfig& config, const Kernels& kernel,
                               const Matrix& up, const float* queries, const float* latents,
                               Index tokens, Index past, float* out, ScratchPool& scratch) {
    const Shape n(config);
    const Index seen = past + tokens;
    const auto scale = static_cast<float>(config.scale);
    const Index work = n.heads * seen * (n.rank * n.up() + tokens * (n.query() + n.value));
    parallel_for_work(n.heads, work, [&](Index h) {
        // Keys whole: the part of this head, then the one that turned.
        const auto keys = scratch.floats(seen * n.query());
        const auto values = scratch.floats(seen * n.value);
        const float* const w = up.data() + h * n.up() * n.rank;
        sgemm_serial(false, true, seen, n.plain, n.rank, 1.0F, latents, n.latent(), w, n.rank, 0.0F,
                     keys.floats(), n.query());
        sgemm_serial(false, true, seen, n.value, n.rank, 1.0F, latents, n.latent(),
                     w + n.plain * n.rank, n.rank, 0.0F, values.floats(), n.value);
        for (Index s = 0; s < seen; ++s)
            std::copy_n(latents + s * n.latent() + n.rank, n.turned,
                        keys.floats() + s * n.query() + n.plain);
        const auto buffer = scratch.floats(std::min(query_rows, tokens) * seen);
        float* const scores = buffer.floats();
        float inverse[query_rows];
        for (Index first = 0; first < tokens; first += query_rows) {
            const Index rows = std::min(query_rows, tokens - first);
            const Index ld = past + first + rows;
            sgemm_serial(false, true, rows, ld, n.query(), scale,
                         queries + first * n.queries() + h * n.query(), n.queries(), keys.floats(),
                         n.query(), 0.0F, scores, ld);
            soften(scores, ld, past + first, rows, kernel, inverse);
            float* const to = out + first * n.heads * n.value + h * n.value;
            sgemm_serial(false, false, rows, n.value, ld, 1.0F, scores, ld, values.floats(),
                         n.value, 0.0F, to, n.heads * n.value);
            for (Index i = 0; i < rows; ++i)
                Eigen::Map<Vector>(to + i * n.heads * n.value, n.value) *= inverse[i];
        }
    });
}

void latent_attention_absorbed(const LatentAttentionConfig& config, const Kernels& kernel,
                               const Matrix& up, const float* queries, const float* latents,
                               Index tokens, Index past, float* out, ScratchPool& scratch) {
    const Shape n(config);
    const Index seen = past + tokens;
    const auto scale = static_cast<float>(config.scale);
    const Index batches = (n.heads + heads_together - 1) / heads_together;
    const Index work = n.heads * tokens * (n.rank * n.up() + seen * (n.latent() + n.rank));
    parallel_for_work(batches, work, [&](Index batch) {
        const Index first = batch * heads_together;
        const Index heads = std::min(heads_together, n.heads - first);
        // Rows of all three: the tokens of the first head, then those of the next.
        const Index rows = heads * tokens;
        const auto asked = scratch.floats(rows * n.latent());
        const auto buffer = scratch.floats(rows * seen);
        const auto found = scratch.floats(rows * n.rank);
        float* const scores = buffer.floats();
        const auto inverse = scratch.floats(rows);
        for (Index h = 0; h < heads; ++h) {
            const float* const q = queries + (first + h) * n.query();
            float* const to = asked.floats() + h * tokens * n.latent();
            sgemm_serial(false, false, tokens, n.rank, n.plain, 1.0F, q, n.queries(),
                         up.data() + (first + h) * n.up() * n.rank, n.rank, 0.0F, to, n.latent());
            for (Index t = 0; t < tokens; ++t)
                std::copy_n(q + t * n.queries() + n.plain, n.turned, to + t * n.latent() + n.rank);
        }
        sgemm_serial(false, true, rows, seen, n.latent(), scale, asked.floats(), n.latent(),
                     latents, n.latent(), 0.0F, scores, seen);
        for (Index h = 0; h < heads; ++h)
            soften(scores + h * tokens * seen, seen, past, tokens, kernel,
                   inverse.floats() + h * tokens);
        sgemm_serial(false, false, rows, n.rank, seen, 1.0F, scores, seen, latents, n.latent(),
                     0.0F, found.floats(), n.rank);
        for (Index h = 0; h < heads; ++h) {
            const float* const w = up.data() + ((first + h) * n.up() + n.plain) * n.rank;
            float* const to = out + (first + h) * n.value;
            sgemm_serial(false, true, tokens, n.value, n.rank, 1.0F,
                         found.floats() + h * tokens * n.rank, n.rank, w, n.rank, 0.0F, to,
                         n.heads * n.value);
            for (Index t = 0; t < tokens; ++t)
                Eigen::Map<Vector>(to + t * n.heads * n.value, n.value) *=
                    inverse.floats()[h * tokens + t];
        }
    });
}

void latent_attention(const LatentAttentionConfig& config, const Kernels& kernel, const Matrix& up,
                      const float* queries, const float* latents, Index tokens, Index past,
                      float* out, ScratchPool& scratch) {
    const Shape n(config);
    VQ_ASSERT(up.rows() == n.heads * n.up() && up.cols() == n.rank);
    // Multiply-adds a head.
    const Index seen = past + tokens;
    const Index expanded = seen * n.rank * n.up() + tokens * seen * (n.query() + n.value);
    const Index absorbed = tokens * n.rank * n.up() + tokens * seen * (n.latent() + n.rank);
    const auto order = absorbed < expanded ? latent_attention_absorbed : latent_attention_expanded;
    order(config, kernel, up, queries, latents, tokens, past, out, scratch);
}

std::unique_ptr<TokenMixer> make_latent_attention(const BlockContext& context,
                                                  const LayerWeights& weights) {
    return std::make_unique<LatentAttention>(context, weights);
}

std::unique_ptr<MixerState> make_latent_state(const LatentAttentionConfig& config, Index capacity) {
    auto state = std::make_unique<LatentState>();
    state->latents.resize(capacity, latent_width(config));
    return state;
}

}  // namespace vq
