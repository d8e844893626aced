// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/gated_delta.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "model/mixers/causal_conv.h"
#include "model/ops/work_split.h"

namespace vq {

namespace {

constexpr Index tile_tokens = 64;

// Columns of S that are taken through a tile of tokens together: 32 columns of 128 keys are 16 KiB,
// which stay in the first-level cache. They lie together: as a slice of rows of 128 columns they
// would fall on an eighth of its sets.
constexpr Index slab_columns = 32;

constexpr float unit_eps = 1e-6F;  // of the length of q and k; no configuration has another

// Where the inputs hold what belongs to a head.
struct Columns {
    Index keys;   // heads
    Index share;  // value heads a key head
    Index key_dim;
    Index value_dim;
    bool interleaved;

    explicit Columns(const GatedDeltaConfig& c)
        : keys(c.n_key_heads),
          share(c.n_value_heads / c.n_key_heads),
          key_dim(c.key_dim),
          value_dim(c.value_dim),
          interleaved(c.interleaved) {}

    Index values() const { return keys * share; }
    // Of a token: q, k, v and z.
    Index width() const { return keys * run(); }
    // Of key head h.
    Index q(Index h) const { return interleaved ? h * run() : h * key_dim; }
    Index k(Index h) const { return q(h) + (interleaved ? key_dim : keys * key_dim); }
    // Of the value heads of key head h, side by side.
    Index v(Index h) const {
        return interleaved ? q(h) + 2 * key_dim : 2 * keys * key_dim + h * share * value_dim;
    }
    Index z(Index h) const { return v(h) + (interleaved ? share : values()) * value_dim; }
    float b(const GatedDeltaInputs& in, Index token, Index h, Index j) const {
        return in
            .b[interleaved ? (token * keys + h) * 2 * share + j : (token * keys + h) * share + j];
    }
    float a(const GatedDeltaInputs& in, Index token, Index h, Index j) const {
        return interleaved ? in.b[((token * keys + h) * 2 + 1) * share + j]
                           : in.a[(token * keys + h) * share + j];
    }

private:
    // q, k, v and z of one key head.
    Index run() const { return 2 * key_dim + 2 * share * value_dim; }
};

double softplus(double x) {
    return x > 20 ? x : std::log1p(std::exp(x));
}

// One key head and its value heads, over all tokens.
class Head {
public:
    Head(const GatedDeltaConfig& config, const GatedDeltaWeights& weights, float eps,
         const Kernels& kernel, ScratchPool& scratch)
        : at_(config),
          kernel_size_(config.kernel),
          weights_(weights),
          eps_(eps),
          kernel_(kernel),
          scratch_(scratch),
          silu_(activation_kernel(kernel, Activation::silu)),
          unit_query_(Vector::Constant(config.key_dim, 1.0F / static_cast<float>(config.key_dim))),
          unit_key_(unit_query_.cwiseSqrt()) {}

    void run(Index h, const GatedDeltaInputs& in, Index tokens, GatedDeltaState* state,
             float* out) const {
        const Index of_value = at_.key_dim * at_.value_dim;
        const auto fresh = scratch_.floats(state == nullptr ? at_.share * of_value : 0);
        if (state == nullptr) std::fill_n(fresh.floats(), at_.share * of_value, 0.0F);
        float* const memory =
            state != nullptr ? state->memory.row(h * at_.share).data() : fresh.floats();
        const auto mixed = scratch_.floats(tile_tokens * mixed_width());
        for (Index first = 0; first < tokens; first += tile_tokens) {
            const Index count = std::min(tile_tokens, tokens - first);
            convolve(h, in.qkvz, first, count, state, mixed.floats());
            for (Index i = 0; i < count; ++i) shorten(mixed.floats() + i * mixed_width());
            for (Index j = 0; j < at_.share; ++j)
                step(h, j, in, first, count, mixed.floats(), memory + j * of_value,
                     out + first * at_.values() * at_.value_dim);
        }
        if (state != nullptr) keep(h, in.qkvz, tokens, *state);
    }

private:
    // Calls f(column of a row, channel, n, place in a mixed row) for q, k and v.
    template <class F>
    void for_parts(Index h, F&& f) const {
        const Index keys = at_.keys * at_.key_dim;
        f(at_.q(h), h * at_.key_dim, at_.key_dim, Index{0});
        f(at_.k(h), keys + h * at_.key_dim, at_.key_dim, at_.key_dim);
        const Index n = at_.share * at_.value_dim;
        f(at_.v(h), 2 * keys + h * n, n, 2 * at_.key_dim);
    }
    Index width() const { return at_.width(); }
    Index channels() const { return weights_.taps.cols(); }
    Index mixed_width() const { return 2 * at_.key_dim + at_.share * at_.value_dim; }

    // mixed (count, mixed_width()): q, k and v of the head behind convolution and silu.
    void convolve(Index h, const float* rows, Index first, Index count,
                  const GatedDeltaState* state, float* mixed) const {
        for_parts(h, [&](Index column, Index channel, Index n, Index place) {
            const ConvRows recent = state != nullptr
                                        ? ConvRows{state->recent.data() + channel, channels()}
                                        : ConvRows{};
            causal_conv({rows + column, width()}, first, count, n, recent,
                        weights_.taps.data() + channel, channels(), kernel_size_, mixed + place,
                        mixed_width());
        });
        for (Index i = 0; i < count; ++i) {
            float* const row = mixed + i * mixed_width();
            silu_(row, nullptr, mixed_width(), row);
        }
    }

    // q and k of length 1, q over sqrt(key_dim) too. As mean(x^2) = |x|^2 / n, an RMS norm with
    // weights 1 / sqrt(n) and eps / n divides by sqrt(|x|^2 + eps).
    void shorten(float* row) const {
        const Index n = at_.key_dim;
        const float eps = unit_eps / static_cast<float>(n);
        kernel_.rms_norm(row, unit_query_.data(), n, eps, row);
        kernel_.rms_norm(row + n, unit_key_.data(), n, eps, row + n);
    }

    // Value head j of key head h over tokens begin .. begin + count - 1.
    void step(Index h, Index j, const GatedDeltaInputs& in, Index begin, Index count,
              const float* mixed, float* memory, float* out) const {
        const Index head = h * at_.share + j;
        std::array<float, tile_tokens> decay;
        std::array<float, tile_tokens> write;
        for (Index i = 0; i < count; ++i) {
            const double a = static_cast<double>(at_.a(in, begin + i, h, j)) +
                             static_cast<double>(weights_.decay_bias[head]);
            const auto b = static_cast<double>(at_.b(in, begin + i, h, j));
            const auto at = static_cast<std::size_t>(i);
            decay[at] = static_cast<float>(
                std::exp(-static_cast<double>(weights_.rate[head]) * softplus(a)));
            write[at] = static_cast<float>(1 / (1 + std::exp(-b)));
        }
        const Index ld_out = at_.values() * at_.value_dim;
        float* const to = out + head * at_.value_dim;
        for (Index first = 0; first < at_.value_dim; first += slab_columns) {
            const Index n = std::min(slab_columns, at_.value_dim - first);
            float* const slab = memory + first * at_.key_dim;
            for (Index i = 0; i < count; ++i) {
                const float* const row = mixed + i * mixed_width();
                kernel_.delta_step(slab, at_.key_dim, n, row + at_.key_dim, row,
                                   row + 2 * at_.key_dim + j * at_.value_dim + first,
                                   decay[static_cast<std::size_t>(i)],
                                   write[static_cast<std::size_t>(i)], to + i * ld_out + first);
            }
        }
        for (Index i = 0; i < count; ++i) {
            float* const o = to + i * ld_out;
            kernel_.rms_norm(o, weights_.norm.data(), at_.value_dim, eps_, o);
            silu_(in.qkvz + (begin + i) * width() + at_.z(h) + j * at_.value_dim, o, at_.value_dim,
                  o);
        }
    }

    void keep(Index h, const float* rows, Index tokens, GatedDeltaState& state) const {
        for_parts(h, [&](Index column, Index channel, Index n, Index) {
            keep_recent({rows + column, width()}, tokens, n, kernel_size_,
                        state.recent.data() + channel, channels());
        });
    }

    Columns at_;
    Index kernel_size_;
    const GatedDeltaWeights& weights_;
    float eps_;
    const Kernels& kernel_;
    ScratchPool& scratch_;
    Kernels::Activate silu_;
    Vector unit_query_;
    Vector unit_key_;
};

class GatedDelta final : public TokenMixer {
public:
    GatedDelta(const BlockContext& context, const LayerWeights& weights)
        : config_(weights.config().delta),
          own_{.taps = conv_taps(weights.matrix(TensorRole::delta_conv)),
               .rate = weights.vector(TensorRole::delta_log_decay).array().exp(),
               .decay_bias = weights.vector(TensorRole::delta_decay_bias),
               .norm = weights.vector(TensorRole::delta_norm)},
          eps_(static_cast<float>(context.config.norm_eps)),
          kernel_(*context.kernel),
          qkvz_(weights.group(GroupKind::delta_in)) {
        const LayerConfig& layer = weights.config();
        if (config_.interleaved) {
            b_ = weights.exact(layer.tensor(TensorRole::delta_write_decay));
        } else {
            b_ = weights.exact(layer.tensor(TensorRole::delta_write));
            a_ = weights.exact(layer.tensor(TensorRole::delta_decay));
        }
        VQ_ASSERT(qkvz_.out() ==
                  conv_channels(config_) + config_.n_value_heads * config_.value_dim);
    }

    void mix(const float* x, Index tokens, Index past, MixerState* state, float* out,
             ScratchPool& scratch) const override {
        VQ_ASSERT(state != nullptr || past == 0);
        const auto qkvz = scratch.floats(tokens * qkvz_.out());
        const auto b = scratch.floats(tokens * b_.out());
        const auto a = scratch.floats(config_.interleaved ? 0 : tokens * a_.out());
        qkvz_.apply(x, tokens, qkvz.floats(), scratch);
        b_.apply(x, tokens, b.floats(), scratch);
        if (!config_.interleaved) a_.apply(x, tokens, a.floats(), scratch);
        gated_delta(config_, own_, eps_, kernel_, {qkvz.floats(), b.floats(), a.floats()}, tokens,
                    static_cast<GatedDeltaState*>(state), out, scratch);
    }
    std::int64_t weight_bytes() const override {
        const Index floats =
            own_.taps.size() + own_.rate.size() + own_.decay_bias.size() + own_.norm.size();
        return qkvz_.weight_bytes() + b_.weight_bytes() +
               (config_.interleaved ? 0 : a_.weight_bytes()) +
               floats * static_cast<Index>(sizeof(float));
    }

private:
    GatedDeltaConfig config_;
    GatedDeltaWeights own_;
    float eps_;
    const Kernels& kernel_;
    Linear qkvz_;
    Linear b_;
    Linear a_;  // not used where b_ makes both
};

}  // namespace

Index conv_channels(const GatedDeltaConfig& c) {
    return 2 * c.n_key_heads * c.key_dim + c.n_value_heads * c.value_dim;
}

GatedDeltaState::GatedDeltaState(const GatedDeltaConfig& config)
    : recent(Matrix::Zero(config.kernel - 1, conv_channels(config))),
      memory(Matrix::Zero(config.n_value_heads, config.key_dim * config.value_dim)) {}

void gated_delta(const GatedDeltaConfig& config, const GatedDeltaWeights& weights, float eps,
                 const Kernels& kernel, const GatedDeltaInputs& inputs, Index tokens,
                 GatedDeltaState* state, float* out, ScratchPool& scratch) {
    VQ_ASSERT(config.n_value_heads % config.n_key_heads == 0);
    VQ_ASSERT(weights.taps.rows() == config.kernel && weights.taps.cols() == conv_channels(config));
    VQ_ASSERT(weights.rate.size() == config.n_value_heads &&
              weights.decay_bias.size() == config.n_value_heads &&
              weights.norm.size() == config.value_dim);
    const Head head(config, weights, eps, kernel, scratch);
    const Index work = 3 * tokens * config.n_value_heads * config.key_dim * config.value_dim;
    parallel_for_work(config.n_key_heads, work,
                      [&](Index h) { head.run(h, inputs, tokens, state, out); });
}

std::unique_ptr<TokenMixer> make_gated_delta(const BlockContext& context,
                                             const LayerWeights& weights) {
    return std::make_unique<GatedDelta>(context, weights);
}

}  // namespace vq
