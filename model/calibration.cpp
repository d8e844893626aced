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

    Linear weights(BlockGroup group) const {
        return load_group(source, layer, group, options.precision, &replacements);
    }
    Vector norm(const std::string& name) const {
        return load_vector(source, layer_tensor(layer, name + ".weight"));
    }

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
    void collect_norm(const std::string& name, HessianSum& sum);
    void collect_inside(HessianSum& sum);
    void add_mlp();
    void advance(Stage to);
};

void CalibrationWalk::Impl::attend() {
    const Linear qkv = weights(BlockGroup::qkv);
    const Vector weight = norm("input_layernorm");
    kept.resize(tokens(), group_width(config(), BlockGroup::attention_out));
    for_windows(0, windows(), [&](Index row, Index rows) {
        attention(context, weight, qkv, stream.row(row).data(), rows, 0, nullptr,
                  kept.row(row).data(), scratch);
    });
}

void CalibrationWalk::Impl::add_attention() {
    const Linear out = weights(BlockGroup::attention_out);
    for_windows(0, windows(), [&](Index row, Index rows) {
        add_product(out, kept.row(row).data(), rows, stream.row(row).data(), scratch);
    });
    kept.resize(0, 0);
}

void CalibrationWalk::Impl::collect_norm(const std::string& name, HessianSum& sum) {
    const Vector weight = norm(name);
    Matrix slab;
    for_slabs(config().hidden_size, [&](const Slab& s) {
        slab.resize(s.rows, config().hidden_size);
        for_windows(s.first, s.last, [&](Index row, Index rows) {
            norm_rows(context, stream.row(row).data(), rows, weight, slab.row(row - s.row).data());
        });
        sum.add(slab.data(), s.rows);
    });
}

void CalibrationWalk::Impl::collect_inside(HessianSum& sum) {
    const MlpWeights mlp = load_mlp(source, layer, options.precision, &replacements);
    const Vector weight = norm("post_attention_layernorm");
    const Index width = config().intermediate_size;
    inside_kept = tokens() * width * static_cast<Index>(sizeof(float)) <= options.keep_bytes;
    if (inside_kept) kept.resize(tokens(), width);
    Matrix slab;
    for_slabs(width, [&](const Slab& s) {
        if (!inside_kept) slab.resize(s.rows, width);
        float* const rows0 = inside_kept ? kept.row(s.row).data() : slab.data();
        for_windows(s.first, s.last, [&](Index row, Index rows) {
            mlp_hidden(context, weight, mlp, stream.row(row).data(), rows,
                       rows0 + (row - s.row) * width, scratch);
        });
        sum.add(rows0, s.rows);
    });
}

void CalibrationWalk::Impl::add_mlp() {
    const Linear down = weights(BlockGroup::down);
    if (inside_kept) {
        for_windows(0, windows(), [&](Index row, Index rows) {
            add_product(down, kept.row(row).data(), rows, stream.row(row).data(), scratch);
        });
        return;
    }
    const MlpWeights mlp = load_mlp(source, layer, options.precision, &replacements);
    const Vector weight = norm("post_attention_layernorm");
    for_windows(0, windows(), [&](Index row, Index rows) {
        for (Index at = 0; at < rows; at += Linear::tile_tokens) {
            const Index count = std::min(Linear::tile_tokens, rows - at);
            float* const x = stream.row(row + at).data();
            const auto inside = scratch.floats(count * config().intermediate_size);
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
    impl_ = std::make_unique<Impl>(source, options, progress, positions);
    impl_->begin.push_back(0);
    for (const auto& window : windows) {
        check_tokens(window, config.vocab_size);
        if (!window.empty())
            impl_->begin.push_back(impl_->begin.back() + static_cast<Index>(window.size()));
    }
    const Matrix embedding = source.read("model.embed_tokens.weight");
    impl_->stream.resize(impl_->tokens(), config.hidden_size);
    Index row = 0;
    for (const auto& window : windows)
        for (const TokenId id : window) impl_->stream.row(row++) = embedding.row(id);
}

CalibrationWalk::~CalibrationWalk() = default;

Index CalibrationWalk::layers() const {
    return impl_->config().n_layers;
}
Index CalibrationWalk::tokens() const {
    return impl_->tokens();
}
const Matrix& CalibrationWalk::stream() const {
    return impl_->stream;
}

std::vector<LinearGroup> CalibrationWalk::groups(Index layer) const {
    VQ_ASSERT(layer >= 0 && layer < layers());
    std::vector<LinearGroup> out;
    for (int g = 0; g < block_groups; ++g) {
        const auto group = static_cast<BlockGroup>(g);
        out.push_back({group_tensors(layer, group), group_width(impl_->config(), group)});
    }
    return out;
}

void CalibrationWalk::collect(Index layer, Index group, HessianSum& sum) {
    VQ_ASSERT(layer == impl_->layer && layer < layers());
    VQ_ASSERT(group >= 0 && group < block_groups);
    VQ_ASSERT(sum.cols() == group_width(impl_->config(), static_cast<BlockGroup>(group)));
    switch (static_cast<BlockGroup>(group)) {
        case BlockGroup::qkv:
            VQ_ASSERT(impl_->stage == Stage::entered);
            impl_->collect_norm("input_layernorm", sum);
            break;
        case BlockGroup::attention_out:
            VQ_ASSERT(impl_->stage <= Stage::attended);
            impl_->advance(Stage::attended);
            sum.add(impl_->kept.data(), impl_->tokens());
            break;
        case BlockGroup::gate_up:
            VQ_ASSERT(impl_->stage <= Stage::between);
            impl_->advance(Stage::between);
            impl_->collect_norm("post_attention_layernorm", sum);
            break;
        case BlockGroup::down:
            impl_->advance(Stage::between);
            impl_->collect_inside(sum);
            impl_->stage = Stage::inside;
            break;
    }
}

void CalibrationWalk::replace(const std::string& name, Matrix weight) {
    const TensorShape shape = impl_->source.shape(name);
    VQ_ASSERT(weight.rows() == shape.rows && weight.cols() == shape.cols);
    impl_->replacements[name] = std::move(weight);
}

void CalibrationWalk::finish(Index layer) {
    VQ_ASSERT(layer == impl_->layer && layer < layers());
    impl_->advance(Stage::inside);
    impl_->add_mlp();
    impl_->kept.resize(0, 0);
    impl_->inside_kept = false;
    impl_->replacements.clear();
    impl_->stage = Stage::entered;
    ++impl_->layer;
}

}  // namespace vq
