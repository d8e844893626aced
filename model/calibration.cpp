// SPDX-License-Identifier: Apache-2.0
#include "model/calibration.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <span>

#include "base/error.h"
#include "model/language_model.h"
#include "model/transformer.h"
#include "model/work_split.h"

namespace vq {

namespace {

// How far the text is inside a block.
enum class Stage : std::uint8_t {
    entered,   // stream: the block's input
    attended,  // kept: the attention's output
    between,   // stream: the input of the block's second half
    inside,    // the MLP's inside was collected (kept, if there is room)
};

// Windows [first, last) and their tokens [row, row + rows).
struct Slab {
    Index first;
    Index last;
    Index row;
    Index rows;
};

Index longest(const std::vector<std::vector<TokenId>>& windows) {
    std::size_t most = 0;
    for (const auto& w : windows) most = std::max(most, w.size());
    return static_cast<Index>(most);
}

}  // namespace

struct CalibrationWalk::Impl {
    class Reader;
    const WeightSource& source;
    CalibrationOptions options;
    Progress progress;
    BlockContext context;
    ScratchPool scratch;
    std::vector<Index> begin;  // first token of each window, and the end
    Matrix stream;             // (tokens, hidden)
    Matrix kept;               // the attention's output, then the MLP's inside
    bool inside_kept = false;
    Index layer = 0;
    Stage stage = Stage::entered;
    Replacements replacements;

    Impl(const WeightSource& from, const CalibrationOptions& how, const Progress& report,
         Index positions)
        : source(from), options(how), progress(report), context(from.config(), positions) {}

    const ModelConfig& config() const { return context.config; }
    Index windows() const { return static_cast<Index>(begin.size()) - 1; }
    Index tokens() const { return begin.back(); }

    /// The block that the text is in.
    const LayerConfig& block() const { return config().layers[static_cast<std::size_t>(layer)]; }

    Linear weights(GroupKind group) const {
        return load_group(source, layer, group, options.precision, &replacements);
    }
    Vector norm(TensorRole role) const { return load_norm(source, block().tensor(role)); }

    // f(row, rows) for windows [first, last); windows in parallel, or threads inside each window.
    template <class F>
    void for_windows(Index first, Index last, F&& f) {
        progress.check();
        parallel_for_outer(last - first, [&](Index i) {
            const auto w = static_cast<std::size_t>(first + i);
            f(begin[w], begin[w + 1] - begin[w]);
        });
    }

    template <class F>
    void for_slabs(Index width, F&& f) {
        const Index most =
            std::max<Index>(1, options.slab_bytes / (width * static_cast<Index>(sizeof(float))));
        for (Index first = 0; first < windows();) {
            Index last = first + 1;
            const Index row = begin[static_cast<std::size_t>(first)];
            while (last < windows() && begin[static_cast<std::size_t>(last) + 1] - row <= most)
                ++last;
            f(Slab{first, last, row, begin[static_cast<std::size_t>(last)] - row});
            first = last;
        }
    }

    void attend();
    void add_attention();
    void start(const std::vector<std::vector<TokenId>>& text);
    void add_mlp();
    void finish();
    void advance(Stage to);
};

void CalibrationWalk::Impl::attend() {
    const Linear qkv = weights(GroupKind::qkv);
    const Vector weight = norm(TensorRole::attention_norm);
    kept.resize(tokens(), block().tensor(TensorRole::attention_out).cols);
    for_windows(0, windows(), [&](Index row, Index rows) {
        attention(context, block(), weight, qkv, stream.row(row).data(), rows, 0, nullptr,
                  kept.row(row).data(), scratch);
    });
}

void CalibrationWalk::Impl::add_attention() {
    const Linear out = weights(GroupKind::attention_out);
    for_windows(0, windows(), [&](Index row, Index rows) {
        add_product(out, kept.row(row).data(), rows, stream.row(row).data(), scratch);
    });
    kept.resize(0, 0);
}

/// The inputs of one group, slab after slab.
class CalibrationWalk::Impl::Reader {
public:
    /// Brings the walk to where the group's inputs are.
    Reader(Impl& walk, const LinearGroup& group)
        : walk_(walk), group_(group.kind), width_(group.cols) {
        switch (group_) {
            case GroupKind::qkv:
                VQ_ASSERT(walk.stage == Stage::entered);
                weight_ = walk.norm(TensorRole::attention_norm);
                break;
            case GroupKind::attention_out:
                VQ_ASSERT(walk.stage <= Stage::attended);
                walk.advance(Stage::attended);
                break;
            case GroupKind::gate_up:
                VQ_ASSERT(walk.stage <= Stage::between);
                walk.advance(Stage::between);
                weight_ = walk.norm(TensorRole::mlp_norm);
                break;
            case GroupKind::down:
                walk.advance(Stage::between);
                mlp_ =
                    load_mlp(walk.source, walk.layer, walk.options.precision, &walk.replacements);
                weight_ = walk.norm(TensorRole::mlp_norm);
                walk.inside_kept = walk.tokens() * width_ * static_cast<Index>(sizeof(float)) <=
                                   walk.options.keep_bytes;
                if (walk.inside_kept) walk.kept.resize(walk.tokens(), width_);
                break;
            default: VQ_ASSERT(false);  // no row of the table has another group
        }
    }

    /// Size (s.rows, width); valid until the next call.
    const float* read(const Slab& s) {
        if (group_ == GroupKind::attention_out) return walk_.kept.row(s.row).data();
        const bool inside = group_ == GroupKind::down;
        const bool keep = inside && walk_.inside_kept;
        if (!keep) slab_.resize(s.rows, width_);
        float* const out = keep ? walk_.kept.row(s.row).data() : slab_.data();
        walk_.for_windows(s.first, s.last, [&](Index row, Index rows) {
            const float* stream = walk_.stream.row(row).data();
            float* const to = out + (row - s.row) * width_;
            if (inside)
                mlp_hidden(walk_.context, weight_, mlp_, stream, rows, to, walk_.scratch);
            else
                norm_rows(walk_.context, stream, rows, weight_, to);
        });
        return out;
    }

    /// The residual stream that the group's output is added to, or null.
    const float* stream(const Slab& s) const {
        const bool adds = group_ == GroupKind::attention_out || group_ == GroupKind::down;
        return adds ? walk_.stream.row(s.row).data() : nullptr;
    }

private:
    Impl& walk_;
    GroupKind group_;
    Index width_;
    Vector weight_;
    MlpWeights mlp_;
    Matrix slab_;
};

void CalibrationWalk::Impl::add_mlp() {
    const Linear down = weights(GroupKind::down);
    if (inside_kept) {
        for_windows(0, windows(), [&](Index row, Index rows) {
            add_product(down, kept.row(row).data(), rows, stream.row(row).data(), scratch);
        });
        return;
    }
    const MlpWeights mlp = load_mlp(source, layer, options.precision, &replacements);
    const Vector weight = norm(TensorRole::mlp_norm);
    for_windows(0, windows(), [&](Index row, Index rows) {
        for (Index at = 0; at < rows; at += Linear::tile_tokens) {
            const Index count = std::min(Linear::tile_tokens, rows - at);
            float* const x = stream.row(row + at).data();
            const auto inside = scratch.floats(count * block().mlp.width);
            mlp_hidden(context, weight, mlp, x, count, inside.floats(), scratch);
            add_product(down, inside.floats(), count, x, scratch);
        }
    });
}

void CalibrationWalk::Impl::advance(Stage to) {
    if (stage == Stage::entered && to > Stage::entered) {
        attend();
        stage = Stage::attended;
    }
    if (stage == Stage::attended && to > Stage::attended) {
        add_attention();
        stage = Stage::between;
    }
}

void CalibrationWalk::Impl::start(const std::vector<std::vector<TokenId>>& text) {
    begin.push_back(0);
    for (const auto& window : text)
        if (!window.empty()) begin.push_back(begin.back() + static_cast<Index>(window.size()));
    const Matrix embedding = source.read(config().embedding.weight());
    stream.resize(tokens(), config().hidden_size);
    Index row = 0;
    for (const auto& window : text)
        for (const TokenId id : window) stream.row(row++) = embedding.row(id);
}

void CalibrationWalk::Impl::finish() {
    advance(Stage::inside);
    add_mlp();
    kept.resize(0, 0);
    inside_kept = false;
    replacements.clear();
    stage = Stage::entered;
    ++layer;
}

CalibrationWalk::CalibrationWalk(const WeightSource& source,
                                 const std::vector<std::vector<TokenId>>& windows,
                                 const CalibrationOptions& options, const Progress& progress) {
    const ModelConfig& config = source.config();
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

void CalibrationWalk::collect(Index layer, Index group, HessianSum& sum, DriftSum* drift) {
    VQ_ASSERT(layer == impl_->layer && layer < layers());
    const std::vector<LinearGroup> groups = linear_groups(impl_->config(), layer);
    VQ_ASSERT(group >= 0 && group < static_cast<Index>(groups.size()));
    const LinearGroup& which = groups[static_cast<std::size_t>(group)];
    const Index width = which.cols;
    VQ_ASSERT(sum.cols() == width);
    Impl::Reader inputs(*impl_, which);
    std::unique_ptr<Impl::Reader> originals;
    if (drift != nullptr && original_)
        originals = std::make_unique<Impl::Reader>(*original_, which);
    impl_->for_slabs(width, [&](const Slab& s) {
        const float* x = inputs.read(s);
        sum.add(x, s.rows);
        if (originals)
            drift->add(originals->read(s), x, width, originals->stream(s), inputs.stream(s),
                       impl_->config().hidden_size, s.rows);
    });
    if (which.kind == GroupKind::down) {
        impl_->stage = Stage::inside;
        if (originals) original_->stage = Stage::inside;
    }
}

void CalibrationWalk::replace(const std::string& name, Matrix weight) {
    const TensorShape shape = impl_->source.shape(name);
    VQ_ASSERT(weight.rows() == shape.rows && weight.cols() == shape.cols);
    impl_->replacements[name] = std::move(weight);
}

void CalibrationWalk::finish(Index layer) {
    VQ_ASSERT(layer == impl_->layer && layer < layers());
    impl_->finish();
    if (original_) original_->finish();
}

}  // namespace vq
