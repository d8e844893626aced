// SPDX-License-Identifier: Apache-2.0
#include "model/calibration.h"

#include <algorithm>

#include "base/error.h"
#include "model/calibration_impl.h"
#include "model/check_runtime.h"
#include "model/feed_forward/mlp.h"
#include "model/language_model.h"
#include "model/ops/check_stream.h"

namespace vq {

namespace {

Index longest(const std::vector<std::vector<TokenId>>& windows) {
    std::size_t most = 0;
    for (const auto& w : windows) most = std::max(most, w.size());
    return static_cast<Index>(most);
}

}  // namespace

void CalibrationWalk::Impl::mix() {
    const LayerWeights from = weights();
    const auto mixer = make_mixer(context, from);
    const HalfNorms norms = mixer_norms(from);
    kept.resize(tokens(), inputs_of(last_group(block().mixer)));
    lend_states();
    for_windows(0, windows(), [&](Index row, Index rows) {
        const auto normed = scratch.floats(rows * config().hidden_size);
        const float* x = norms.input(context, stream.row(row).data(), rows, normed.floats());
        mixer->mix(x, rows, 0, state_of(row), kept.row(row).data(), scratch);
    });
}

/// States of a block whose keys and values others look at, or that looks at those of another one:
/// one a window.
void CalibrationWalk::Impl::lend_states() {
    const AttentionConfig& heads = block().attention;
    if (!heads.lends_keys && heads.keys_from < 0) return;
    auto& states = lent[layer];
    const auto lenders = lent.find(heads.keys_from);
    for (std::size_t w = 0; w + 1 < begin.size(); ++w)
        states.push_back(
            make_mixer_state(config(), block(), begin[w + 1] - begin[w],
                             heads.keys_from < 0 ? nullptr : lenders->second[w].get()));
}

/// The state of the block for the window that begins at `row`; null where it needs none.
MixerState* CalibrationWalk::Impl::state_of(Index row) {
    const auto states = lent.find(layer);
    if (states == lent.end()) return nullptr;
    const auto window = std::lower_bound(begin.begin(), begin.end(), row) - begin.begin();
    return states->second[static_cast<std::size_t>(window)].get();
}

void CalibrationWalk::Impl::add_mixed() {
    const LayerWeights from = weights();
    const Linear last = from.group(last_group(block().mixer));
    const HalfNorms norms = mixer_norms(from);
    if (block().parallel) entered.resize(tokens(), config().hidden_size);
    for_windows(0, windows(), [&](Index row, Index rows) {
        float* const to = stream.row(row).data();
        if (block().parallel)
            norms.before.apply(to, rows, entered.row(row).data(), *context.kernel);
        norms.add_to_stream(context, rows, to, scratch, [&](float factor, float* sum) {
            add_product(last, kept.row(row).data(), rows, factor, sum, scratch);
        });
    });
    kept.resize(0, 0);
}

/// The inputs of one group, slab after slab.
class CalibrationWalk::Impl::Reader {
public:
    /// Brings the walk to where the group's inputs are.
    Reader(Impl& walk, const LinearGroup& group)
        : walk_(walk), group_(group.kind), width_(group.cols) {
        const LayerWeights weights = walk.weights();
        switch (group_) {
            case GroupKind::qkv:
            case GroupKind::delta_in:
            case GroupKind::conv_in:
                VQ_ASSERT(walk.stage == Stage::entered);
                norms_ = mixer_norms(weights);
                break;
            case GroupKind::latent_query:
            case GroupKind::latent_kv:
                VQ_ASSERT(walk.stage == Stage::entered);
                norms_ = mixer_norms(weights);
                mixer_ = make_mixer(walk.context, weights);
                break;
            case GroupKind::attention_out:
            case GroupKind::delta_out:
            case GroupKind::conv_out:
                VQ_ASSERT(walk.stage <= Stage::mixed);
                walk.advance(Stage::mixed);
                norms_ = mixer_norms(weights);
                break;
            case GroupKind::gate_up:
            case GroupKind::shared_gate_up:
                VQ_ASSERT(walk.stage <= Stage::between);
                walk.advance(Stage::between);
                read_mlp_norm(weights);
                break;
            case GroupKind::down:
                walk.advance(Stage::between);
                read_mlp_norm(weights);
                inside_ = MlpInside(walk.context, weights, block_mlp, walk.block().mlp.activation);
                walk.inside_kept = walk.tokens() * width_ * static_cast<Index>(sizeof(float)) <=
                                   walk.options.keep_bytes;
                if (walk.inside_kept) walk.kept.resize(walk.tokens(), width_);
                break;
            case GroupKind::shared_down:
                walk.advance(Stage::between);
                norms_ = feed_forward_norms(weights);
                inside_ =
                    MlpInside(walk.context, weights, shared_mlp, walk.block().mixture.activation);
                break;
            case GroupKind::layer_input_gate:
            case GroupKind::layer_input_out:
                walk.advance(Stage::behind);
                if (group_ == GroupKind::layer_input_out)
                    input_ = std::make_unique<LayerInput>(walk.context, weights);
                break;
            case GroupKind::expert_gate_up:
            case GroupKind::expert_down: VQ_ASSERT(false);  // ExpertWalk reads them
        }
    }

    /// Size (s.rows, width); valid until the next call.
    const float* read(const Slab& s) {
        if (group_ == last_group(walk_.block().mixer)) return walk_.kept.row(s.row).data();
        const bool keep = group_ == GroupKind::down && walk_.inside_kept;
        if (!keep) slab_.resize(s.rows, width_);
        float* const out = keep ? walk_.kept.row(s.row).data() : slab_.data();
        walk_.for_windows(s.first, s.last, [&](Index row, Index rows) {
            read_window(row, rows, out + (row - s.row) * width_);
        });
        return out;
    }

    /// The residual stream that the group's output is added to, in units of that output; null
    /// where it is not added as it is.
    const float* stream(const Slab& s) {
        const bool adds = group_ == last_group(walk_.block().mixer) || group_ == GroupKind::down;
        if (!adds || !norms_.after.empty()) return nullptr;
        const float* at = walk_.stream.row(s.row).data();
        if (norms_.residual_scale == 1.0F) return at;
        scaled_ = walk_.stream.middleRows(s.row, s.rows) / norms_.residual_scale;
        return scaled_.data();
    }

private:
    /// That of the MLP: beside a mixture it is not that of the whole half.
    void read_mlp_norm(const LayerWeights& weights) {
        norms_ = feed_forward_norms(weights);
        norms_.before = weights.norm(TensorRole::mlp_norm);
    }

    void read_window(Index row, Index rows, float* to) {
        if (input_ != nullptr) {
            const auto room = walk_.scratch.floats(rows * width_);
            input_->inside(walk_.stream.row(row).data(), rows,
                           walk_.input_rows(row, rows, room.floats()), to, walk_.scratch);
            return;
        }
        const bool second = group_ >= GroupKind::gate_up && group_ < GroupKind::layer_input_gate;
        const bool inside = inside_.width() > 0;
        const bool first_of_half = mixer_ == nullptr && !inside;
        const Index hidden = walk_.config().hidden_size;
        const auto normed = walk_.scratch.floats(first_of_half ? 0 : rows * hidden);
        float* const room = first_of_half ? to : normed.floats();
        const float* x =
            second ? walk_.feed_forward_input(norms_, row, rows, room)
                   : norms_.input(walk_.context, walk_.stream.row(row).data(), rows, room);
        if (mixer_ != nullptr)
            mixer_->inputs(group_, x, rows, to, walk_.scratch);
        else if (inside)
            inside_.apply(x, rows, to, walk_.scratch);
        else if (x != to)
            std::copy_n(x, rows * hidden, to);
    }

    Impl& walk_;
    GroupKind group_;
    Index width_;
    HalfNorms norms_;
    std::unique_ptr<TokenMixer> mixer_;  // for groups inside of it
    MlpInside inside_;
    std::unique_ptr<LayerInput> input_;  // for what its end reads
    Matrix slab_;
    Matrix scaled_;
};

void CalibrationWalk::Impl::advance(Stage to) {
    if (stage == Stage::entered && to > Stage::entered) {
        mix();
        stage = Stage::mixed;
    }
    if (stage == Stage::mixed && to > Stage::mixed) {
        add_mixed();
        stage = Stage::between;
    }
    if (stage < Stage::behind && to == Stage::behind) {
        add_feed_forward();
        stage = Stage::behind;
    }
}

void CalibrationWalk::Impl::start(const std::vector<std::vector<TokenId>>& text) {
    begin.push_back(0);
    for (const auto& window : text) {
        if (!window.empty()) begin.push_back(begin.back() + static_cast<Index>(window.size()));
        ids.insert(ids.end(), window.begin(), window.end());
    }
    enter(source.read(config().embedding.weight()));
}

/// The stream that the first block reads, and what all blocks read beside it.
void CalibrationWalk::Impl::enter(const Matrix& embedding) {
    stream.resize(tokens(), config().hidden_size);
    Index row = 0;
    for (const TokenId id : ids) stream.row(row++) = embedding.row(id);
    const auto scale = static_cast<float>(config().embedding_scale);
    if (scale != 1) stream *= scale;
    if (config().layer_inputs.width > 0) make_inputs(embedding);
}

void CalibrationWalk::Impl::finish() {
    advance(Stage::behind);
    add_input();
    check_stream(stream.data(), tokens(), config().hidden_size, layer_name(layer));
    routed.reset();
    kept.resize(0, 0);
    entered.resize(0, 0);
    inside_kept = false;
    replacements.clear();
    stage = Stage::entered;
    ++layer;
}

/// What the head reads, once all blocks are finished.
void CalibrationWalk::Impl::collect_head(HessianSum& sum) {
    const Norm norm = load_norm(source, config().final_norm, config().norm);
    const Index hidden = config().hidden_size;
    Matrix normed;
    for_slabs(hidden, [&](const Slab& s) {
        normed.resize(s.rows, hidden);
        for_windows(s.first, s.last, [&](Index row, Index rows) {
            norm.apply(stream.row(row).data(), rows, normed.row(row - s.row).data(),
                       *context.kernel);
        });
        sum.add(normed.data(), s.rows);
    });
}

CalibrationWalk::CalibrationWalk(const WeightSource& source,
                                 const std::vector<std::vector<TokenId>>& windows,
                                 const CalibrationOptions& options, const Progress& progress) {
    const ModelConfig& config = source.config();
    check_runtime(config);
    const Index positions = longest(windows);
    if (positions == 0)
        throw Error("the calibration text has no tokens", "calibration text", "give a longer text");
    if (positions > config.max_position)
        throw Error(
            "a calibration window is longer than the model can take",
            std::to_string(positions) + " tokens, at most " + std::to_string(config.max_position),
            "use a shorter context");
    for (const auto& window : windows) check_tokens(window, config.vocab_size);
    impl_ = std::make_unique<Impl>(source, options, progress, positions);
    impl_->start(windows);
    if (!options.follow_original) return;
    original_ = std::make_unique<Impl>(source, options, progress, positions);
    original_->start(windows);
}

CalibrationWalk::~CalibrationWalk() = default;

Index CalibrationWalk::layers() const {
    return impl_->config().n_layers();
}
Index CalibrationWalk::tokens() const {
    return impl_->tokens();
}
const Matrix& CalibrationWalk::stream() const {
    return impl_->stream;
}
std::vector<Index> CalibrationWalk::expert_tokens() const {
    return impl_->routed == nullptr ? std::vector<Index>{} : impl_->routed->counts();
}

void CalibrationWalk::collect(Index layer, Index group, HessianSum& sum, DriftSum* drift) {
    VQ_ASSERT(layer == impl_->layer && layer <= layers());
    if (layer == layers()) {
        VQ_ASSERT(group == 0 && sum.cols() == impl_->config().hidden_size);
        impl_->collect_head(sum);
        return;
    }
    const std::vector<LinearGroup> groups = linear_groups(impl_->config(), layer);
    VQ_ASSERT(group >= 0 && group < static_cast<Index>(groups.size()));
    const LinearGroup& which = groups[static_cast<std::size_t>(group)];
    const Index width = which.cols;
    VQ_ASSERT(sum.cols() == width);
    if (which.expert >= 0) {
        const bool follow = drift != nullptr && original_ != nullptr;
        impl_->advance(CalibrationStage::between);
        if (follow) original_->advance(CalibrationStage::between);
        impl_->settle_experts(groups, group);
        const MixtureStream original =
            follow ? original_->mixture_stream() : impl_->mixture_stream();
        impl_->experts().collect(which.kind, which.expert, impl_->mixture_stream(), sum,
                                 follow ? drift : nullptr, follow ? &original : nullptr);
        return;
    }
    Impl::Reader inputs(*impl_, which);
    std::unique_ptr<Impl::Reader> originals;
    if (drift != nullptr && original_)
        originals = std::make_unique<Impl::Reader>(*original_, which);
    impl_->for_slabs(width, [&](const CalibrationSlab& s) {
        const float* x = inputs.read(s);
        sum.add(x, s.rows);
        if (originals)
            drift->add(originals->read(s), x, width, originals->stream(s), inputs.stream(s),
                       impl_->config().hidden_size, s.rows);
    });
    if (which.kind == GroupKind::down) {
        impl_->stage = CalibrationStage::inside;
        if (originals) original_->stage = CalibrationStage::inside;
    }
}

void CalibrationWalk::replace(const std::string& name, Matrix weight) {
    const TensorShape shape = impl_->source.shape(name);
    VQ_ASSERT(weight.rows() == shape.rows && weight.cols() == shape.cols);
    if (name == impl_->config().embedding.weight()) {
        VQ_ASSERT(impl_->layer == 0 && impl_->stage == CalibrationStage::entered);
        impl_->enter(weight);
        return;
    }
    impl_->replacements[name] = std::move(weight);
}

void CalibrationWalk::finish(Index layer) {
    VQ_ASSERT(layer == impl_->layer && layer < layers());
    impl_->finish();
    if (original_) original_->finish();
}

}  // namespace vq
