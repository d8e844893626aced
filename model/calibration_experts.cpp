// SPDX-License-Identifier: Apache-2.0
#include "model/calibration_experts.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace vq {

namespace {

constexpr Index chunk_rows = 2048;  // rows that are made at a time
constexpr Index sample_rows = 2;    // of all tokens for `down`, for each of its inputs

template <class F>
void for_chunks(Index n, F&& f) {
    for (Index first = 0; first < n; first += chunk_rows) f(first, std::min(chunk_rows, n - first));
}

std::span<const Index> part_of(const std::vector<Index>& all, Index first, Index count) {
    return std::span(all).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

std::vector<Index> every(Index tokens, Index most) {
    const Index n = std::min(tokens, most);
    std::vector<Index> out(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) out[static_cast<std::size_t>(i)] = i * tokens / n;
    return out;
}

}  // namespace

/// The rows that one group of one expert reads.
class ExpertWalk::Inputs {
public:
    Inputs(const ExpertWalk& walk, GroupKind kind, Index expert, const MixtureStream& stream)
        : walk_(walk), stream_(stream), hidden_(walk.context_.config.hidden_size), width_(hidden_) {
        if (kind == GroupKind::expert_gate_up) return;
        VQ_ASSERT(kind == GroupKind::expert_down);
        inside_ = MlpInside(walk.context_, stream.weights, expert_mlp,
                            stream.weights.config().mixture.activation, expert);
        width_ = inside_.width();
    }

    /// Of tokens, times what they weigh in the loss; `weights` null for 1. Size (tokens, width).
    const Matrix& rows(std::span<const Index> tokens, const float* weights) {
        const auto n = static_cast<Index>(tokens.size());
        const bool down = inside_.width() > 0;
        Matrix& x = down ? input_ : out_;
        x.resize(n, hidden_);
        stream_.rows(tokens, x.data());
        if (weights != nullptr && (!down || walk_.scales_input_)) scale(x, weights);
        if (!down) return x;
        out_.resize(n, width_);
        inside_.apply(x.data(), n, out_.data(), walk_.scratch_);
        if (weights != nullptr && !walk_.scales_input_) scale(out_, weights);
        return out_;
    }

private:
    static void scale(Matrix& x, const float* weights) {
        for (Index i = 0; i < x.rows(); ++i) x.row(i) *= weights[i];
    }

    const ExpertWalk& walk_;
    const MixtureStream& stream_;
    Index hidden_;
    Index width_;
    MlpInside inside_;  // of `down`
    Matrix input_;
    Matrix out_;
};

ExpertWalk::ExpertWalk(const BlockContext& context, const MixtureStream& stream, Index tokens,
                       ScratchPool& scratch)
    : context_(context), scratch_(scratch), tokens_(tokens) {
    const MixtureConfig& config = stream.weights.config().mixture;
    scales_input_ = config.scales_input();
    const Router router(context, stream.weights);
    routing_ = {.active = config.n_active, .experts = {}, .weights = {}};
    for_all(stream.routed, [&](Index, const Matrix& x) {
        const Routing part = router.route(x.data(), x.rows(), scratch);
        routing_.experts.insert(routing_.experts.end(), part.experts.begin(), part.experts.end());
        routing_.weights.insert(routing_.weights.end(), part.weights.begin(), part.weights.end());
    });
    places_ = routing_.by_expert(config.n_experts);
}

void ExpertWalk::for_all(const std::function<void(std::span<const Index>, float*)>& rows,
                         const std::function<void(Index, const Matrix&)>& use) const {
    for_chunks(tokens_, [&](Index first, Index count) {
        std::vector<Index> tokens(static_cast<std::size_t>(count));
        std::iota(tokens.begin(), tokens.end(), first);
        Matrix x(count, context_.config.hidden_size);
        rows(tokens, x.data());
        use(first, x);
    });
}

std::vector<Index> ExpertWalk::counts() const {
    std::vector<Index> out;
    for (const auto& places : places_) out.push_back(static_cast<Index>(places.size()));
    return out;
}

void ExpertWalk::collect(GroupKind kind, Index expert, const MixtureStream& stream, HessianSum& sum,
                         DriftSum* drift, const MixtureStream* original) {
    Inputs inputs(*this, kind, expert, stream);
    std::unique_ptr<Inputs> originals;
    if (drift != nullptr && original != nullptr)
        originals = std::make_unique<Inputs>(*this, kind, expert, *original);
    const auto& places = places_[static_cast<std::size_t>(expert)];
    // The mean input, which corrects biases, is weighed by w^2 too.
    VectorD mean = VectorD::Zero(sum.cols());
    double weighed = 0;
    for_chunks(static_cast<Index>(places.size()), [&](Index first, Index count) {
        const auto [tokens, weights] = routing_.rows(part_of(places, first, count));
        const Matrix& x = inputs.rows(tokens, weights.data());
        sum.add(x.data(), count);
        const Eigen::Map<const Vector> w(weights.data(), count);
        mean += scales_input_ ? VectorD(x.colwise().sum().transpose().cast<double>())
                              : VectorD((x.transpose() * w).cast<double>());
        weighed += scales_input_ ? static_cast<double>(count) : w.cast<double>().squaredNorm();
        if (originals)
            drift->add(originals->rows(tokens, weights.data()).data(), x.data(), x.cols(), nullptr,
                       nullptr, context_.config.hidden_size, count);
    });
    if (weighed > 0) sum.x = static_cast<double>(sum.count) / weighed * mean;
    lean(kind, inputs, stream, sum);
}

const HessianSum& ExpertWalk::all_inputs(const MixtureStream& stream) {
    if (all_inputs_.count > 0) return all_inputs_;
    all_inputs_ = HessianSum(context_.config.hidden_size);
    for_all(stream.rows, [&](Index, const Matrix& x) { all_inputs_.add(x.data(), x.rows()); });
    return all_inputs_;
}

void ExpertWalk::lean(GroupKind kind, Inputs& inputs, const MixtureStream& stream,
                      HessianSum& sum) {
    const auto own = static_cast<double>(sum.count);
    const auto enough = static_cast<double>(sum.cols());
    HessianSum sample;
    if (kind == GroupKind::expert_down) {
        if (own >= enough) return;
        sample = HessianSum(sum.cols());
        const auto tokens = every(tokens_, sample_rows * sum.cols());
        for_chunks(static_cast<Index>(tokens.size()), [&](Index first, Index count) {
            sample.add(inputs.rows(part_of(tokens, first, count), nullptr).data(), count);
        });
    }
    const HessianSum& all = kind == GroupKind::expert_down ? sample : all_inputs(stream);
    const double all_trace = all.xxt.trace() / static_cast<double>(all.count);
    if (!(all_trace > 0)) return;  // nothing ever came here: quantization says so
    if (sum.count == 0 || !(sum.xxt.trace() > 0)) {
        sum = all;
        return;
    }
    const double share = enough / (own + enough);
    const double same_trace = sum.xxt.trace() / own / all_trace;
    sum.xxt += (own * share * same_trace / static_cast<double>(all.count)) * all.xxt;
}

void ExpertWalk::settle(const MixtureStream& stream) {
    const MixtureConfig& config = stream.weights.config().mixture;
    const Index hidden = context_.config.hidden_size;
    if (given_.size() == 0) given_ = Matrix::Zero(tokens_, hidden);
    const auto& places = places_[static_cast<std::size_t>(settled_)];
    const Index expert_number = settled_++;
    if (places.empty()) return;
    const Mlp expert(context_, stream.weights, expert_mlp, config.activation, expert_number);
    for_chunks(static_cast<Index>(places.size()), [&](Index first, Index count) {
        const auto [tokens, weighed] = routing_.rows(part_of(places, first, count));
        const Eigen::Map<const Vector> weights(weighed.data(), count);
        Matrix x(count, hidden);
        Matrix y(count, hidden);
        stream.rows(tokens, x.data());
        if (scales_input_) x = weights.asDiagonal() * x;
        expert.apply(x.data(), count, y.data(), scratch_);
        for (Index i = 0; i < count; ++i)
            given_.row(tokens[static_cast<std::size_t>(i)]) +=
                (scales_input_ ? 1.0F : weights[i]) * y.row(i);
    });
}

const Matrix& ExpertWalk::finish(const MixtureStream& stream) {
    while (settled_ < static_cast<Index>(places_.size())) settle(stream);
    if (stream.weights.config().mixture.shared_width == 0) return given_;
    const SharedExperts shared(context_, stream.weights);
    for_all(stream.rows, [&](Index first, const Matrix& x) {
        shared.add(x.data(), x.rows(), 1.0F, given_.row(first).data(), scratch_);
    });
    return given_;
}

}  // namespace vq
