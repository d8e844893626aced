// SPDX-License-Identifier: Apache-2.0
// A plain forward pass in double, token by token, to check the runtime with. It follows what
// ModelConfig says and shares nothing with the runtime but the frequencies of rotary positions.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "io/families/linear_groups.h"
#include "model/ops/rope.h"
#include "tests/model/tiny_model.h"

namespace vq::test {

/// Everything that a straightforward forward pass sees.
struct Reference {
    MatrixD logits;                                 ///< (tokens, vocab)
    std::vector<std::vector<MatrixD>> group_input;  ///< [layer][as in linear_groups()]; of experts
                                                    ///< times what they weigh in the loss
    /// [layer][expert]: tokens that it saw.
    std::vector<std::vector<Index>> expert_tokens;
};

class ReferenceModel {
public:
    explicit ReferenceModel(const MemorySource& source) : source_(source), c_(source.model) {}

    Reference operator()(const std::vector<TokenId>& tokens) {
        const MatrixD embedding = values(c_.embedding);
        count_ = static_cast<Index>(tokens.size());
        MatrixD x(count_, c_.hidden_size);
        for (Index t = 0; t < count_; ++t)
            x.row(t) = embedding.row(tokens[static_cast<std::size_t>(t)]) * c_.embedding_scale;
        make_layer_inputs(tokens, x);
        for (Index l = 0; l < c_.n_layers(); ++l) {
            number_ = l;
            layer_ = &c_.layers[static_cast<std::size_t>(l)];
            inputs_.clear();
            seen_.assign(static_cast<std::size_t>(layer_->mixture.n_experts), 0);
            block(x);
            out_.expert_tokens.push_back(seen_);
            out_.group_input.emplace_back();
            for (const LinearGroup& group : linear_groups(c_, l))
                out_.group_input.back().push_back(inputs_.at({group.kind, group.expert}));
        }
        out_.logits = product(norm(x, &c_.final_norm, c_.norm), c_.output()) * c_.logit_scale;
        cap(out_.logits, c_.logit_softcap);
        return std::move(out_);
    }

private:
    MatrixD values(const ModelTensor& tensor) const {
        return source_.read(tensor.weight()).cast<double>();
    }
    const ModelTensor* find(TensorRole role, Index expert = -1) const {
        for (const ModelTensor& t : layer_->tensors)
            if (t.role == role && t.expert == expert) return &t;
        return nullptr;
    }
    MatrixD product(const MatrixD& x, const ModelTensor& tensor) const {
        MatrixD y = x * values(tensor).transpose();
        if (tensor.bias) y.rowwise() += source_.read(tensor.name + ".bias").cast<double>().row(0);
        return y;
    }
    static void cap(MatrixD& x, double softcap) {
        if (softcap > 0) x = (x.array() / softcap).tanh() * softcap;
    }

    MatrixD norm(const MatrixD& x, const ModelTensor* tensor, NormKind kind) const {
        if (tensor == nullptr) return x;
        const bool layer = kind == NormKind::layer || kind == NormKind::layer_plus_one;
        const bool plus = kind == NormKind::rms_plus_one || kind == NormKind::layer_plus_one;
        MatrixD w = values(*tensor);
        if (plus) w.array() += 1.0;
        MatrixD out = x;
        for (Index t = 0; t < x.rows(); ++t) {
            if (layer) out.row(t).array() -= out.row(t).mean();
            const double square = out.row(t).squaredNorm() / static_cast<double>(x.cols());
            out.row(t) = (out.row(t) / std::sqrt(square + c_.norm_eps)).cwiseProduct(w.row(0));
        }
        if (tensor->bias)
            out.rowwise() += source_.read(tensor->name + ".bias").cast<double>().row(0);
        return out;
    }

    void block(MatrixD& x) {
        const MatrixD entered = norm(x, find(TensorRole::attention_norm), c_.norm);
        const MatrixD mixed = attention(entered);
        x += layer_->residual_scale * norm(mixed, find(TensorRole::attention_post_norm), c_.norm);
        const MatrixD second =
            layer_->parallel ? entered : norm(x, find(TensorRole::mlp_norm), c_.norm);
        const MatrixD given = layer_->mlp_beside_mixture()    ? beside(x)
                              : layer_->mixture.n_experts > 0 ? mixture(second, second)
                                                              : mlp(second, block_roles, -1, {});
        x += layer_->residual_scale * norm(given, find(TensorRole::mlp_post_norm), c_.norm);
        if (layer_->layer_input > 0) add_layer_input(x);
        if (const ModelTensor* scalar = find(TensorRole::layer_scalar)) x *= values(*scalar)(0, 0);
    }

    /// What an MLP and a mixture of experts give that stand side by side.
    MatrixD beside(const MatrixD& x) {
        const MatrixD own = mlp(norm(x, find(TensorRole::mlp_norm), c_.norm), block_roles, -1, {});
        const MatrixD mixed = mixture(norm(x, find(TensorRole::expert_norm), c_.norm), x);
        return norm(own, find(TensorRole::mlp_own_post_norm), c_.norm) +
               norm(mixed, find(TensorRole::expert_post_norm), c_.norm);
    }

    /// What every block takes of the tokens, whose scaled embedding is x.
    void make_layer_inputs(const std::vector<TokenId>& tokens, const MatrixD& x) {
        const Index width = c_.layer_inputs.width;
        if (width == 0) return;
        const MatrixD words = values(c_.layer_inputs.embedding);
        MatrixD made =
            product(x, c_.layer_inputs.projection) / std::sqrt(static_cast<double>(c_.hidden_size));
        for (Index l = 0; l < c_.n_layers(); ++l)
            made.middleCols(l * width, width) =
                norm(made.middleCols(l * width, width), &c_.layer_inputs.norm, c_.norm);
        for (Index t = 0; t < count_; ++t)
            made.row(t) += words.row(tokens[static_cast<std::size_t>(t)]) *
                           std::sqrt(static_cast<double>(width));
        layer_inputs_ = made / std::sqrt(2.0);
    }

    void add_layer_input(MatrixD& x) {
        const Index width = layer_->layer_input;
        inputs_[{GroupKind::layer_input_gate, -1}] = x;
        MatrixD y = product(x, *find(TensorRole::layer_input_gate));
        y = y.unaryExpr([&](double v) { return act(layer_->mlp.activation, v); });
        y = y.cwiseProduct(layer_inputs_.middleCols(number_ * width, width));
        inputs_[{GroupKind::layer_input_out, -1}] = y;
        x += norm(product(y, *find(TensorRole::layer_input_out)),
                  find(TensorRole::layer_input_norm), c_.norm);
    }

    /// The norm of heads of q (k), in place.
    void norm_heads(MatrixD& x, TensorRole role, Index heads) const {
        const AttentionConfig& a = layer_->attention;
        const Index dim = a.head_dim;
        if (a.head_norm == HeadNorm::whole) {
            x = norm(x, find(role), NormKind::rms);
            return;
        }
        for (Index h = 0; h < heads; ++h) {
            MatrixD head = x.middleCols(h * dim, dim);
            const bool layer = a.head_norm == HeadNorm::each_head_layer;
            if (layer) head.colwise() -= head.rowwise().mean();
            for (Index t = 0; t < head.rows(); ++t)
                head.row(t) /=
                    std::sqrt(head.row(t).squaredNorm() / static_cast<double>(dim) + c_.norm_eps);
            if (a.head_norm != HeadNorm::unit_after_rope) {
                MatrixD w = values(*find(role));
                if (a.head_norm == HeadNorm::each_head && c_.norm == NormKind::rms_plus_one)
                    w.array() += 1.0;
                const Index row = w.rows() > 1 ? h : 0;
                head = head.array().rowwise() * w.row(row).array();
            }
            x.middleCols(h * dim, dim) = head;
        }
    }

    void turn(MatrixD& x, Index heads) const {
        const AttentionConfig& a = layer_->attention;
        if (a.rope < 0) return;
        const RopeConfig& rope = c_.ropes[static_cast<std::size_t>(a.rope)];
        const std::vector<float> f = rope_frequencies(rope, count_);
        const auto pairs = static_cast<Index>(f.size());
        for (Index t = 0; t < count_; ++t)
            for (Index h = 0; h < heads; ++h)
                for (Index i = 0; i < pairs; ++i) {
                    const double angle = static_cast<double>(t) *
                                         static_cast<double>(f[static_cast<std::size_t>(i)]);
                    const double c = std::cos(angle) * rope.attention_factor;
                    const double s = std::sin(angle) * rope.attention_factor;
                    double& p = x(t, h * a.head_dim + (rope.interleaved ? 2 * i : i));
                    double& q = x(t, h * a.head_dim + (rope.interleaved ? 2 * i + 1 : i + pairs));
                    const double p0 = p;
                    p = p0 * c - q * s;
                    q = q * c + p0 * s;
                }
    }

    /// q, its gates, k and v.
    struct Heads {
        MatrixD q, gate, k, v;
    };
    Heads project(const MatrixD& x) const {
        const AttentionConfig& a = layer_->attention;
        const Index q_width = a.n_heads * a.head_dim;
        const Index kv_width = a.n_kv_heads * a.head_dim;
        Heads out;
        if (const ModelTensor* all = find(TensorRole::query_key_value)) {
            const MatrixD y = product(x, *all);
            return {
                y.leftCols(q_width), {}, y.middleCols(q_width, kv_width), y.rightCols(kv_width)};
        }
        out.q = product(x, *find(TensorRole::query));
        if (a.keys_from < 0) {
            out.k = product(x, *find(TensorRole::key));
            out.v = a.keys_are_values ? out.k : product(x, *find(TensorRole::value));
        }
        if (!a.output_gate) return out;
        const MatrixD both = out.q;
        out.q.resize(count_, q_width);
        out.gate.resize(count_, q_width);
        for (Index h = 0; h < a.n_heads; ++h) {
            out.q.middleCols(h * a.head_dim, a.head_dim) =
                both.middleCols(2 * h * a.head_dim, a.head_dim);
            out.gate.middleCols(h * a.head_dim, a.head_dim) =
                both.middleCols((2 * h + 1) * a.head_dim, a.head_dim);
        }
        return out;
    }

    MatrixD attention(const MatrixD& x) {
        const AttentionConfig& a = layer_->attention;
        const Index dim = a.head_dim;
        const Index own_keys = a.keys_from < 0 ? a.n_kv_heads : 0;
        inputs_[{GroupKind::qkv, -1}] = x;
        Heads heads = project(x);
        const bool after =
            a.head_norm == HeadNorm::after_rope || a.head_norm == HeadNorm::unit_after_rope;
        const auto norms = [&] {
            norm_heads(heads.q, TensorRole::query_norm, a.n_heads);
            norm_heads(heads.k, TensorRole::key_norm, own_keys);
        };
        for (Index h = 0; h < own_keys && a.value_norm; ++h)
            for (Index t = 0; t < count_; ++t) {
                auto v = heads.v.row(t).segment(h * dim, dim);
                v /= std::sqrt(v.squaredNorm() / static_cast<double>(dim) + c_.norm_eps);
            }
        if (a.head_norm != HeadNorm::none && !after) norms();
        turn(heads.q, a.n_heads);
        turn(heads.k, own_keys);
        if (after) norms();
        if (a.keys_from >= 0) std::tie(heads.k, heads.v) = keys_.at(a.keys_from);
        keys_[number_] = {heads.k, heads.v};
        if (a.query_growth > 0)
            for (Index t = 0; t < count_; ++t)
                heads.q.row(t) *=
                    1 + a.query_growth *
                            std::log(1 + std::floor((static_cast<double>(t) + a.query_shift) /
                                                    a.query_period));
        MatrixD y = MatrixD::Zero(count_, a.n_heads * dim);
        for (Index h = 0; h < a.n_heads; ++h) {
            const Index kv = h / (a.n_heads / a.n_kv_heads) * dim;
            MatrixD scores = heads.q.middleCols(h * dim, dim) *
                             heads.k.middleCols(kv, dim).transpose() * a.scale;
            cap(scores, a.softcap);
            for (Index t = 0; t < count_; ++t) {
                double sum = a.sinks ? std::exp(values(*find(TensorRole::sinks))(0, h)) : 0.0;
                for (Index s = 0; s < count_; ++s) {
                    const bool seen = s <= t && (a.window == 0 || t - s < a.window) &&
                                      (a.chunk == 0 || t / a.chunk == s / a.chunk);
                    scores(t, s) = seen ? std::exp(scores(t, s)) : 0.0;
                    sum += scores(t, s);
                }
                scores.row(t) /= sum;
            }
            y.middleCols(h * dim, dim) = scores * heads.v.middleCols(kv, dim);
        }
        if (a.output_gate) y = y.array() / (1 + (-heads.gate.array()).exp());
        inputs_[{GroupKind::attention_out, -1}] = y;
        return product(y, *find(TensorRole::attention_out));
    }

    struct MlpRoles {
        TensorRole gate, up, both, down;
        GroupKind first, last;
    };
    static constexpr MlpRoles block_roles = {TensorRole::gate,    TensorRole::up,
                                             TensorRole::gate_up, TensorRole::down,
                                             GroupKind::gate_up,  GroupKind::down};
    static constexpr MlpRoles expert_roles = {TensorRole::expert_gate,    TensorRole::expert_up,
                                              TensorRole::expert_gate_up, TensorRole::expert_down,
                                              GroupKind::expert_gate_up,  GroupKind::expert_down};
    static constexpr MlpRoles shared_roles = {TensorRole::shared_gate,   TensorRole::shared_up,
                                              TensorRole::gate_up,       TensorRole::shared_down,
                                              GroupKind::shared_gate_up, GroupKind::shared_down};

    static double act(Activation how, double x) {
        switch (how) {
            case Activation::silu: return x / (1 + std::exp(-x));
            case Activation::gelu: return x * (1 + std::erf(x / std::sqrt(2.0))) / 2;
            case Activation::gelu_tanh:
                return x *
                       (1 +
                        std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))) /
                       2;
            case Activation::relu_squared: return x > 0 ? x * x : 0;
            case Activation::clamped_swiglu:
                x = std::min(x, 7.0);
                return x / (1 + std::exp(-1.702 * x));
        }
        return 0;
    }

    /// `loss`: what each row weighs; empty for 1.
    MatrixD mlp(const MatrixD& x, const MlpRoles& roles, Index expert, const VectorD& loss) {
        const bool own = roles.first == GroupKind::gate_up;
        const Activation how = own ? layer_->mlp.activation : layer_->mixture.activation;
        const auto weighed = [&](const MatrixD& rows) -> MatrixD {
            return loss.size() == 0 ? rows : MatrixD(loss.asDiagonal() * rows);
        };
        inputs_[{roles.first, expert}] = weighed(x);
        MatrixD gate;
        MatrixD up;
        const ModelTensor* both = own || expert >= 0 ? find(roles.both, expert) : nullptr;
        if (both != nullptr) {
            const MatrixD y = product(x, *both);
            gate = y.leftCols(y.cols() / 2);
            up = y.rightCols(y.cols() / 2);
        } else {
            up = product(x, *find(roles.up, expert));
            const ModelTensor* tensor = find(roles.gate, expert);
            gate = tensor != nullptr ? product(x, *tensor) : up;
            if (tensor == nullptr) up.setOnes();
        }
        if (how == Activation::clamped_swiglu) up = up.cwiseMax(-7.0).cwiseMin(7.0).array() + 1.0;
        const MatrixD inside =
            gate.unaryExpr([&](double v) { return act(how, v); }).cwiseProduct(up);
        inputs_[{roles.last, expert}] = weighed(inside);
        return product(inside, *find(roles.down, expert));
    }

    /// What every expert weighs for every token; 0 where it was not chosen.
    MatrixD route(const MatrixD& by) const {
        using Weight = MixtureConfig::Weight;
        const MixtureConfig& m = layer_->mixture;
        MatrixD x = by;
        if (const ModelTensor* scale = find(TensorRole::router_scale))
            x = norm(by, scale, NormKind::rms) / std::sqrt(static_cast<double>(by.cols()));
        MatrixD score = product(x, *find(TensorRole::router));
        for (Index t = 0; t < x.rows(); ++t) {
            if (m.weight == Weight::softmax) {
                score.row(t) = (score.row(t).array() - score.row(t).maxCoeff()).exp();
                score.row(t) /= score.row(t).sum();
            } else if (m.weight != Weight::softmax_of_chosen) {
                score.row(t) = 1 / (1 + (-score.row(t).array()).exp());
            }
        }
        MatrixD choice = score;
        if (const ModelTensor* bias = find(TensorRole::router_bias))
            choice.rowwise() += values(*bias).row(0);
        MatrixD weight = MatrixD::Zero(x.rows(), m.n_experts);
        for (Index t = 0; t < x.rows(); ++t) {
            const Index size = m.n_experts / m.n_groups;
            std::vector<Index> groups(static_cast<std::size_t>(m.n_groups));
            std::iota(groups.begin(), groups.end(), 0);
            const auto worth = [&](Index g) {
                std::vector<double> best;
                for (Index e = g * size; e < (g + 1) * size; ++e) best.push_back(choice(t, e));
                std::sort(best.rbegin(), best.rend());
                return best[0] + (size > 1 ? best[1] : 0.0);
            };
            std::stable_sort(groups.begin(), groups.end(),
                             [&](Index a, Index b) { return worth(a) > worth(b); });
            std::vector<Index> experts;
            const Index left = m.n_groups > 1 ? m.n_active_groups : 1;
            for (Index g = 0; g < left; ++g)
                for (Index e = 0; e < size; ++e)
                    experts.push_back(groups[static_cast<std::size_t>(g)] * size + e);
            std::stable_sort(experts.begin(), experts.end(),
                             [&](Index a, Index b) { return choice(t, a) > choice(t, b); });
            experts.resize(static_cast<std::size_t>(m.n_active));
            double sum = 0;
            for (const Index e : experts)
                sum += weight(t, e) =
                    m.weight == Weight::softmax_of_chosen ? std::exp(score(t, e)) : score(t, e);
            if (m.normalized || m.weight == Weight::softmax_of_chosen) weight.row(t) /= sum;
            weight.row(t) *= m.scale;
            if (const ModelTensor* scale = find(TensorRole::expert_scale))
                weight.row(t) = weight.row(t).cwiseProduct(values(*scale).row(0));
        }
        return weight;
    }

    /// `by`: what the router reads.
    MatrixD mixture(const MatrixD& x, const MatrixD& by) {
        const MixtureConfig& m = layer_->mixture;
        const MatrixD weight = route(by);
        const bool scales_input = m.weight == MixtureConfig::Weight::sigmoid_of_input;
        MatrixD out = MatrixD::Zero(x.rows(), x.cols());
        for (Index e = 0; e < m.n_experts; ++e) {
            std::vector<Index> rows;
            for (Index t = 0; t < x.rows(); ++t)
                if (weight(t, e) != 0) rows.push_back(t);
            seen_[static_cast<std::size_t>(e)] = static_cast<Index>(rows.size());
            const MatrixD own = x(rows, Eigen::all);
            const VectorD w = weight.col(e)(rows);
            const MatrixD y = scales_input ? mlp(w.asDiagonal() * own, expert_roles, e, {})
                                           : mlp(own, expert_roles, e, w);
            for (std::size_t i = 0; i < rows.size(); ++i)
                out.row(rows[i]) +=
                    (scales_input ? 1.0 : w[static_cast<Index>(i)]) * y.row(static_cast<Index>(i));
        }
        if (m.shared_width == 0) return out;
        MatrixD shared = mlp(x, shared_roles, -1, {});
        if (const ModelTensor* open = find(TensorRole::shared_switch)) {
            const VectorD s = x * values(*open).row(0).transpose();
            shared = (1 / (1 + (-s.array()).exp())).matrix().asDiagonal() * shared;
        }
        return out + shared;
    }

    const MemorySource& source_;
    const ModelConfig& c_;
    const LayerConfig* layer_ = nullptr;
    Index number_ = 0;  ///< of the block
    Index count_ = 0;
    std::map<Index, std::pair<MatrixD, MatrixD>> keys_;  ///< and values, of each block
    MatrixD layer_inputs_;
    std::map<std::pair<GroupKind, Index>, MatrixD> inputs_;
    std::vector<Index> seen_;
    Reference out_;
};

inline Reference reference_forward(const MemorySource& source, const std::vector<TokenId>& tokens) {
    return ReferenceModel(source)(tokens);
}

}  // namespace vq::test
