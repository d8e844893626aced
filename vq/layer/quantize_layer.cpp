// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/quantize_layer.h"

#include <algorithm>
#include <limits>

#include "base/cancel.h"
#include "base/error.h"
#include "vq/layer/layer_codes.h"
#include "vq/layer/scale_search.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

/// Rows a feedback panel has at least: enough for the encoder to work in batches, few enough for
/// the panel to stay in L2.
constexpr Index panel_rows = 64;

/// What every step of one layer needs.
struct Layer {
    HessianFactors& inputs;
    const Settings& settings;
    const SharedCodes& shared;
    std::uint64_t seed;
    const std::string& name;
    const Progress& progress;
};

/// How a layer's codes are found: as the settings say, or, to compare column scales, by one rounding
/// without feedback.
struct Effort {
    double column_power = 0;
    FeedbackOrder order = FeedbackOrder::none;
    int passes = 1;
    RefineSettings refine;
};

/// W and H in the space where codes live: transformed and padded. Padding rows are zero; padding
/// columns have an input that is nearly zero and depends on no other, so that what they decode to
/// costs nothing.
struct Prepared {
    Transform transform;
    HessianReport report;
    Matrix w;
    MatrixD h;           ///< let go once all is made of it that needs fp64
    VectorD h_diagonal;  ///< of the same
};

/// What errors are weighed with in the original space.
MatrixD objective_hessian(const Layer& layer, HessianReport* report) {
    MatrixD h = layer.inputs.hessian(layer.settings.damping, layer.name, report);
    switch (layer.settings.objective) {
        case Objective::identity: return MatrixD::Identity(h.rows(), h.cols());
        case Objective::diagonal: return h.diagonal().asDiagonal();
        default: return h;
    }
}

Prepared prepare(const Matrix& w, const Layer& layer, double column_power) {
    const Settings& s = layer.settings;
    Prepared out;
    out.h = objective_hessian(layer, &out.report);
    TransformSettings transform = s.transform;
    transform.column_power = column_power;
    out.transform = make_transform(transform, w, out.h.diagonal(), layer.seed);
    out.w = w;
    out.transform.apply(out.w);
    out.transform.apply_hessian(out.h);
    const TensorShape padded = padded_shape({w.rows(), w.cols()}, s);
    const double tiny = 1e-4 * out.h.diagonal().mean();
    const auto zero_rest = [](auto& m, Index rows, Index cols) {
        m.rightCols(m.cols() - cols).setZero();
        m.bottomRows(m.rows() - rows).setZero();
    };
    // In place where nothing is added: H is the largest matrix of all.
    if (padded.rows != w.rows() || padded.cols != w.cols()) {
        out.w.conservativeResize(padded.rows, padded.cols);
        zero_rest(out.w, w.rows(), w.cols());
    }
    if (padded.cols != w.cols()) {
        out.h.conservativeResize(padded.cols, padded.cols);
        zero_rest(out.h, w.cols(), w.cols());
        for (Index j = w.cols(); j < padded.cols; ++j) out.h(j, j) = tiny;
    }
    out.h_diagonal = out.h.diagonal();
    return out;
}

/// One run of feedback over all columns.
void run_pass(const Prepared& p, const BlockLDL& ldl, bool metric, CodedTensor& tensor,
              Matrix* targets) {
    const Index unit = tensor.row_unit();
    const Index panel = (panel_rows + unit - 1) / unit * unit;
    feedback_pass(
        p.w, ldl, panel,
        [&](Index row0, Index rows, Index col0, const float* target, const float* local,
            float* what) {
            tensor.encode_block(row0, rows, col0, ldl.block, target, metric ? local : nullptr, what,
                                nullptr);
        },
        nullptr, targets);
}

/// Passes of feedback; between them codebooks of the tensor's own are trained anew on what the last
/// pass aimed at, as long as that lowers the loss.
void run_passes(const Prepared& p, const BlockLDL& ldl, const Matrix& h, const Layer& layer,
                int passes, CodedTensor& tensor) {
    const Settings& s = layer.settings;
    const bool retrain = passes > 1 && layer.shared.empty() && family_of(s.code).has_codebooks;
    Matrix targets;
    run_pass(p, ldl, s.metric, tensor, retrain ? &targets : nullptr);
    if (!retrain) return;
    double loss = tensor_loss(p.w, h, tensor);
    for (int pass = 1; pass < passes; ++pass) {
        layer.progress.check();
        CodedTensor next = tensor;
        train_codes(targets, p.h_diagonal, s, layer.seed + static_cast<std::uint64_t>(pass),
                    layer.progress, next);
        run_pass(p, ldl, s.metric, next, &targets);
        const double next_loss = tensor_loss(p.w, h, next);
        if (!(next_loss < loss)) break;
        loss = next_loss;
        tensor = std::move(next);
    }
}

/// W as codes alone: transform, segments, scales, passes, refinement, and back.
QuantizedLayer quantize_codes(const Matrix& w, const Layer& layer, const Effort& effort) {
    const Settings& s = layer.settings;
    QuantizedLayer out;
    out.rows = w.rows();
    out.cols = w.cols();
    Prepared p = prepare(w, layer, effort.column_power);
    out.transform = p.transform;
    out.hessian = p.report;
    layer.progress.check();
    const Index block = feedback_block(s);
    const Matrix h = p.h.cast<float>();  // all that is needed of it but its factors
    const std::shared_ptr<const BlockLDL> ldl =
        effort.order == FeedbackOrder::none
            ? std::make_shared<const BlockLDL>(without_feedback(p.h, block))
            : layer.inputs.block_ldl(std::move(p.h), block, effort.order);
    p.h.resize(0, 0);
    layer.progress.check();
    CodedTensor tensor = uncoded_tensor(p.w, {w.rows(), w.cols()}, s, layer.shared, *ldl);
    train_codes(p.w, p.h_diagonal, s, layer.seed, layer.progress, tensor);
    if (s.scale_search > 0) search_scales(p.w, p.h_diagonal, s.scale_search, tensor);
    layer.progress.check();
    run_passes(p, *ldl, h, layer, effort.passes, tensor);
    out.refine = refine(p.w, h, effort.refine, layer.progress, tensor);
    // Pruned rows and tensors; codes have no word for zero. Not before: encoders divide by scales.
    if (!family_of(s.code).own_scales) tensor.clear_zero_scales(p.w);
    p.w.resize(0, 0);  // before What takes its place

    out.what = tensor.decode();
    out.what.conservativeResize(w.rows(), w.cols());
    out.transform.invert(out.what);
    if (!out.what.allFinite())
        throw InternalError("internal error: the reconstruction of " + layer.name +
                            " is not finite");
    out.errors = errors_under(w, out.what, layer.inputs.sum());
    out.tensor = std::move(tensor);
    return out;
}

/// The power of the inputs' sizes that column scales are made of: as the settings have it, or of
/// those tried the one with the least proxy loss without feedback.
double column_power(const Matrix& w, const Layer& layer) {
    const TransformSettings& t = layer.settings.transform;
    if (t.column_scale != TransformSettings::ColumnScale::activation || t.power_search == 0)
        return t.column_power;
    double best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (int step = 0; step < t.power_search; ++step) {
        Effort trial;
        trial.column_power = static_cast<double>(step) / std::max(1, t.power_search - 1);
        const double loss = quantize_codes(w, layer, trial).errors.rel_proxy;
        if (!(loss < least)) continue;
        least = loss;
        best = trial.column_power;
    }
    return best;
}

/// Codes and side terms in turn; the best round is kept.
QuantizedLayer quantize_beside(const Matrix& w, const Layer& layer, const Effort& effort) {
    const SideSettings& side_settings = layer.settings.side;
    const MatrixD h = objective_hessian(layer, nullptr);
    const Matrix hf = h.cast<float>();
    // At first the codes need not see the weights that will be kept beside them; a low-rank term
    // of the whole W would take from the codes what they are good at.
    SideSettings first = side_settings;
    first.rank = 0;
    SideTerms side = fit_side_terms(w, h, first, layer.seed);
    QuantizedLayer best;
    double least = std::numeric_limits<double>::infinity();
    for (int round = 0; round < side_settings.rounds; ++round) {
        layer.progress.check();
        Matrix rest = Matrix::Zero(w.rows(), w.cols());
        side.add_to(rest);
        QuantizedLayer codes = quantize_codes(Matrix(w - rest), layer, effort);
        side = fit_side_terms(Matrix(w - codes.what), h, side_settings, layer.seed);
        side.add_to(codes.what);
        const double loss = proxy_loss(Matrix(w - codes.what), hf);
        if (!(loss < least)) break;
        least = loss;
        codes.side = side;
        best = std::move(codes);
    }
    best.errors = errors_under(w, best.what, layer.inputs.sum());
    return best;
}

}  // namespace

TensorErrors errors_under(const Matrix& w, const Matrix& what, const HessianSum& inputs) {
    Matrix h = Matrix::Identity(w.cols(), w.cols());
    if (inputs.count > 0) h = (inputs.xxt / static_cast<double>(inputs.count)).cast<float>();
    return tensor_errors(w, what, h);
}

QuantizedLayer quantize_layer(const Matrix& w, HessianFactors& inputs, const Settings& s,
                              const SharedCodes& shared, std::uint64_t seed,
                              const std::string& name, const Progress& progress) {
    check_settings(s);
    const CodeFamily& family = family_of(s.code);
    // Codebooks that differ by rate are never a tensor's own.
    VQ_ASSERT(!(family.rates(s.code).any() && family.has_codebooks) || !shared.empty());
    VQ_ASSERT(inputs.sum().cols() == w.cols() && w.size() > 0);
    if (!w.allFinite())
        throw Error("a weight is not finite", name, "the checkpoint is damaged; download it again");
    const CancelScope stop(progress.cancelled);
    const Layer layer = {inputs, s, shared, seed, name, progress};
    const Effort effort = {column_power(w, layer), s.order, s.passes, s.refine};
    return s.side.any() ? quantize_beside(w, layer, effort) : quantize_codes(w, layer, effort);
}

QuantizedLayer quantize_layer(const Matrix& w, const HessianSum& inputs, const Settings& settings,
                              const SharedCodes& shared, std::uint64_t seed,
                              const std::string& name, const Progress& progress) {
    HessianFactors factors(inputs);
    return quantize_layer(w, factors, settings, shared, seed, name, progress);
}

}  // namespace vq
