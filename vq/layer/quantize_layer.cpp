// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/quantize_layer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "vq/layer/column_rates.h"
#include "vq/layer/scale_search.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

/// Rows a feedback panel has at least: enough for the encoder to work in batches, few enough for
/// the panel to stay in L2.
constexpr Index panel_rows = 64;

Index round_up(Index n, Index unit) {
    return (n + unit - 1) / unit * unit;
}

Index feedback_block(const Settings& s) {
    if (s.block > 0) return s.block;
    return s.code.along == Along::inputs ? s.code.dim : 1;
}

/// Settings of the code for outliers or for the rest.
CodeSettings code_settings(const Settings& s, bool outliers) {
    return outliers ? outlier_settings(s.code) : s.code;
}

/// W and H in the space where codes live: transformed and padded. Padding rows are zero; padding
/// columns have an input that is nearly zero and depends on no other, so that what they decode to
/// costs nothing.
struct Prepared {
    Transform transform;
    HessianReport report;
    Matrix w;
    MatrixD h;
};

/// What errors are weighed with in the original space.
MatrixD objective_hessian(const HessianSum& inputs, const Settings& s, const std::string& name,
                          HessianReport* report) {
    MatrixD h = prepare_hessian(inputs, s.damping, name, report);
    if (s.objective == Objective::identity) return MatrixD::Identity(h.rows(), h.cols());
    if (s.objective == Objective::diagonal) return h.diagonal().asDiagonal();
    return h;
}

Prepared prepare(const Matrix& w, const HessianSum& inputs, const Settings& s, std::uint64_t seed,
                 const std::string& name) {
    Prepared out;
    MatrixD h = objective_hessian(inputs, s, name, &out.report);
    out.transform = make_transform(s.transform, w, h.diagonal(), seed);
    Matrix wt = w;
    out.transform.apply(wt);
    out.transform.apply_hessian(h);
    const TensorShape padded = padded_shape({w.rows(), w.cols()}, s);
    out.w = Matrix::Zero(padded.rows, padded.cols);
    out.w.topLeftCorner(w.rows(), w.cols()) = wt;
    out.h = MatrixD::Zero(padded.cols, padded.cols);
    out.h.topLeftCorner(w.cols(), w.cols()) = h;
    const double tiny = 1e-4 * h.diagonal().mean();
    for (Index j = w.cols(); j < padded.cols; ++j) out.h(j, j) = tiny;
    return out;
}

/// All vectors of columns [col0, col0 + cols) divided by their scales, with weights from diag(H).
void gather_vectors(const Matrix& x, const CodedTensor& tensor, Index col0, Index cols, Index d,
                    const VectorD& h_diagonal, Matrix& vectors, std::vector<float>& weights) {
    const bool inputs = tensor.along() == Along::inputs;
    const Index units = inputs ? x.rows() : x.rows() / d;
    const Index per_unit = inputs ? cols / d : cols;
    const double mean = h_diagonal.mean();
    vectors.resize(units * per_unit, d);
    weights.assign(static_cast<std::size_t>(units * per_unit), 1.0F);
    for (Index u = 0; u < units; ++u)
        for (Index v = 0; v < per_unit; ++v) {
            const Index at = u * per_unit + v;
            double weight = 0;
            for (Index j = 0; j < d; ++j) {
                const Index row = inputs ? u : u * d + j;
                const Index col = col0 + (inputs ? v * d + j : v);
                vectors(at, j) = x(row, col) / tensor.scale(row, col);
                weight += h_diagonal(col);
            }
            weights[at] = static_cast<float>(weight / static_cast<double>(d) / mean);
        }
}

/// At most `most` rows of x and their weights: one drawn from each of `most` equal stretches, so
/// that the choice does not fall into step with the columns.
void thin_out(Matrix& x, std::vector<float>& weights, Index most, std::uint64_t seed) {
    if (x.rows() <= most) return;
    Matrix picked(most, x.cols());
    std::vector<float> picked_weights(static_cast<std::size_t>(most));
    for (Index i = 0; i < most; ++i) {
        const double place =
            static_cast<double>(i) + random_uniform(seed, static_cast<std::uint64_t>(i));
        const auto from = std::min(
            x.rows() - 1,
            static_cast<Index>(place * static_cast<double>(x.rows()) / static_cast<double>(most)));
        picked.row(i) = x.row(from);
        picked_weights[i] = weights[from];
    }
    x.swap(picked);
    weights.swap(picked_weights);
}

/// Trains the tensor's own codebooks on `x` (W at first, a pass's targets later).
void train_codes(const Matrix& x, const VectorD& h_diagonal, const Settings& s, std::uint64_t seed,
                 const Progress& progress, CodedTensor& tensor) {
    const CodeFamily& family = family_of(s.code);
    for (std::size_t i = 0; i < tensor.segments().size(); ++i) {
        Segment& segment = tensor.segments()[i];
        if (!segment.shared.empty() || family.train == nullptr) continue;
        const bool outliers = tensor.segments().size() == 2 && i == 0;
        Matrix vectors;
        std::vector<float> weights;
        gather_vectors(x, tensor, segment.col0, segment.cols, segment.code->dim(), h_diagonal,
                       vectors, weights);
        thin_out(vectors, weights, s.code.kmeans.samples, seed + i);
        segment.code =
            family.train({vectors, weights.data()}, code_settings(s, outliers), seed + i, progress);
    }
}

/// One segment a rate, as the columns' share of the loss wants it. rows: of W, unpadded.
std::vector<Segment> rate_segments(const Settings& s, const SharedCodes& shared, Index rows,
                                   const BlockLDL& ldl) {
    const CodeFamily& family = family_of(s.code);
    VectorD d(static_cast<Index>(ldl.metrics.size()));
    for (Index k = 0; k < d.size(); ++k) d(k) = ldl.metrics[k](0, 0);
    const RateRange all = family.rates(s.code);
    const std::vector<double> distortions = family.distortions(s.code, shared);
    RateRange range = all;
    if (!s.code.waterfill) {
        const double step = all.step.bits();
        range.least = {all.step.halves * static_cast<int>(std::floor(s.code.rate / step))};
        range.most = {all.step.halves * static_cast<int>(std::ceil(s.code.rate / step))};
    }
    const auto first = distortions.begin() + all.index_of(range.least);
    std::vector<Segment> segments;
    Index at = 0;
    for (const RateRun& run :
         plan_column_rates(d, s.code.rate, {first, first + range.count()}, range)) {
        SharedCode code;
        if (shared.empty())
            code.code = family.make(s.code, {rows, run.rate});
        else
            code = shared.at(static_cast<std::size_t>(all.index_of(run.rate)));
        segments.push_back({at, run.cols, code.code, code.name, {}});
        at += run.cols;
    }
    return segments;
}

/// One code for all columns, the tensor's own (to be trained if it has codebooks) or a shared one,
/// with outlier columns and their code before it.
std::vector<Segment> vector_segments(const Matrix& w, const Settings& s, const SharedCodes& shared,
                                     Index unpadded_cols) {
    const auto code = [&](std::size_t which) -> CodePtr {
        if (!shared.empty()) return shared.at(which).code;
        return family_of(s.code).make(code_settings(s, which == 1), {.rows = w.rows(), .rate = {}});
    };
    const auto shared_name = [&](std::size_t which) {
        return shared.empty() ? std::string() : shared.at(which).name;
    };
    std::vector<Segment> segments;
    const Index outliers = outlier_columns(unpadded_cols, s);
    if (outliers > 0) segments.push_back({0, outliers, code(1), shared_name(1), {}});
    if (outliers < w.cols())
        segments.push_back({outliers, w.cols() - outliers, code(0), shared_name(0), {}});
    return segments;
}

CodedTensor make_tensor(const Matrix& w, const Settings& s, std::vector<Segment> segments) {
    CodedTensor tensor(w.rows(), w.cols(), s.code.along, s.scale, std::move(segments));
    if (!family_of(s.code).own_scales) tensor.fit_scales(w);
    return tensor;
}

/// The power of the inputs' sizes, of those tried, with the least proxy loss without feedback.
double search_column_power(const Matrix& w, const HessianSum& inputs, const Settings& s,
                           const SharedCodes& shared, std::uint64_t seed, const std::string& name,
                           const Progress& progress) {
    Settings trial = s;
    trial.transform.power_search = 0;
    trial.order = FeedbackOrder::none;
    trial.passes = 1;
    trial.refine.rounds = 0;
    double best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (int step = 0; step < s.transform.power_search; ++step) {
        trial.transform.column_power =
            static_cast<double>(step) / std::max(1, s.transform.power_search - 1);
        const double loss =
            quantize_layer(w, inputs, trial, shared, seed, name, progress).errors.rel_proxy;
        if (!(loss < least)) continue;
        least = loss;
        best = trial.transform.column_power;
    }
    return best;
}

/// Codes and side terms in turn; the best round is kept.
QuantizedLayer quantize_beside(const Matrix& w, const HessianSum& inputs, const Settings& s,
                               const SharedCodes& shared, std::uint64_t seed,
                               const std::string& name, const Progress& progress) {
    Settings plain = s;
    plain.side = {};
    const MatrixD h = objective_hessian(inputs, s, name, nullptr);
    const Matrix hf = h.cast<float>();
    // At first the codes need not see the weights that will be kept beside them; a low-rank term
    // of the whole W would take from the codes what they are good at.
    SideSettings first = s.side;
    first.rank = 0;
    SideTerms side = fit_side_terms(w, h, first, seed);
    QuantizedLayer best;
    double least = std::numeric_limits<double>::infinity();
    for (int round = 0; round < s.side.rounds; ++round) {
        progress.check();
        Matrix rest = Matrix::Zero(w.rows(), w.cols());
        side.add_to(rest);
        QuantizedLayer layer =
            quantize_layer(Matrix(w - rest), inputs, plain, shared, seed, name, progress);
        side = fit_side_terms(Matrix(w - layer.what), h, s.side, seed);
        side.add_to(layer.what);
        const double loss = proxy_loss(Matrix(w - layer.what), hf);
        if (!(loss < least)) break;
        least = loss;
        layer.side = side;
        best = std::move(layer);
    }
    best.errors = errors_under(w, best.what, inputs);
    return best;
}

}  // namespace

Index outlier_columns(Index n, const Settings& s) {
    if (!(s.code.outliers > 0)) return 0;
    const Index unit = s.code.along == Along::inputs
                           ? std::lcm<Index>(s.code.outlier_dim, feedback_block(s))
                           : feedback_block(s);
    VQ_ASSERT(unit >= 1);
    const auto wanted = static_cast<Index>(std::llround(s.code.outliers * static_cast<double>(n)));
    const Index rounded = std::max(unit, wanted / unit * unit);
    return rounded < n ? rounded : 0;
}

TensorShape padded_shape(TensorShape shape, const Settings& s) {
    const Index unit =
        std::lcm(feedback_block(s), s.code.along == Along::inputs ? s.code.dim : Index{1});
    return {round_up(shape.rows, family_of(s.code).row_unit(s.code, shape.rows)),
            round_up(shape.cols, unit)};
}

Matrix sample_vectors(const Matrix& w, const Settings& settings, int dim, Index count,
                      std::uint64_t seed) {
    Settings plain = settings;
    plain.code.dim = dim;
    plain.code.outliers = 0;
    plain.block = 0;
    Matrix wt = w;
    make_transform(plain.transform, w, VectorD::Ones(w.cols()), seed).apply(wt);
    const TensorShape padded = padded_shape({w.rows(), w.cols()}, plain);
    Matrix x = Matrix::Zero(padded.rows, padded.cols);
    x.topLeftCorner(w.rows(), w.cols()) = wt;
    const CodedTensor tensor = make_tensor(x, plain, vector_segments(x, plain, {}, w.cols()));
    Matrix vectors;
    std::vector<float> weights;
    gather_vectors(x, tensor, 0, x.cols(), dim, VectorD::Ones(x.cols()), vectors, weights);
    thin_out(vectors, weights, count, seed);
    return vectors;
}

TensorErrors errors_under(const Matrix& w, const Matrix& what, const HessianSum& inputs) {
    Matrix h = Matrix::Identity(w.cols(), w.cols());
    if (inputs.count > 0) h = (inputs.xxt / static_cast<double>(inputs.count)).cast<float>();
    return tensor_errors(w, what, h);
}

QuantizedLayer quantize_layer(const Matrix& w, const HessianSum& inputs, const Settings& settings,
                              const SharedCodes& shared, std::uint64_t seed,
                              const std::string& name, const Progress& progress) {
    check_settings(settings);
    const CodeFamily& family = family_of(settings.code);
    const bool rates = family.rates(settings.code).any();
    // Codebooks that differ by rate are never a tensor's own.
    VQ_ASSERT(!(rates && family.has_codebooks) || !shared.empty());
    VQ_ASSERT(inputs.cols() == w.cols() && w.size() > 0);
    if (!w.allFinite())
        throw Error("a weight is not finite", name, "the checkpoint is damaged; download it again");
    Settings s = settings;
    if (s.transform.column_scale == TransformSettings::ColumnScale::activation &&
        s.transform.power_search > 0) {
        s.transform.column_power = search_column_power(w, inputs, s, shared, seed, name, progress);
        s.transform.power_search = 0;
    }
    if (s.side.any()) return quantize_beside(w, inputs, s, shared, seed, name, progress);
    QuantizedLayer out;
    out.rows = w.rows();
    out.cols = w.cols();
    Prepared p = prepare(w, inputs, s, seed, name);
    out.transform = p.transform;
    out.hessian = p.report;
    progress.check();
    const BlockLDL ldl = s.order == FeedbackOrder::none
                             ? without_feedback(p.h, feedback_block(s))
                             : factorize_block_ldl(p.h, feedback_block(s), s.order);
    progress.check();
    CodedTensor tensor = make_tensor(p.w, s,
                                     rates ? rate_segments(s, shared, w.rows(), ldl)
                                           : vector_segments(p.w, s, shared, w.cols()));
    train_codes(p.w, p.h.diagonal(), s, seed, progress, tensor);
    if (s.scale_search > 0) search_scales(p.w, p.h.diagonal(), s.scale_search, tensor);
    progress.check();
    const Matrix h = p.h.cast<float>();
    const Index unit = tensor.row_unit();
    const Index panel = round_up(panel_rows, unit);
    const auto run_pass = [&](CodedTensor& into, Matrix* targets) {
        feedback_pass(
            p.w, ldl, panel,
            [&](Index row0, Index rows, Index col0, const float* target, const float* metric,
                float* block_what) {
                into.encode_block(row0, rows, col0, ldl.block, target, s.metric ? metric : nullptr,
                                  block_what, nullptr);
            },
            nullptr, targets);
    };
    Matrix targets;
    const bool own = shared.empty() && family.has_codebooks;
    run_pass(tensor, own && s.passes > 1 ? &targets : nullptr);
    double loss = own && s.passes > 1 ? tensor_loss(p.w, h, tensor) : 0;
    for (int pass = 1; own && pass < s.passes; ++pass) {
        progress.check();
        CodedTensor next = tensor;
        train_codes(targets, p.h.diagonal(), s, seed + static_cast<std::uint64_t>(pass), progress,
                    next);
        run_pass(next, &targets);
        const double next_loss = tensor_loss(p.w, h, next);
        if (!(next_loss < loss)) break;
        loss = next_loss;
        tensor = std::move(next);
    }
    out.refine = refine(p.w, h, s.refine, progress, tensor);
    p.w.resize(0, 0);  // before What takes its place

    out.what = tensor.decode();
    out.what.conservativeResize(w.rows(), w.cols());
    out.transform.invert(out.what);
    if (!out.what.allFinite())
        throw InternalError("internal error: the reconstruction of " + name + " is not finite");
    out.errors = errors_under(w, out.what, inputs);
    out.tensor = std::move(tensor);
    return out;
}

}  // namespace vq
