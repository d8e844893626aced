// SPDX-License-Identifier: Apache-2.0
#include "vq/run/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

double weights_in(const LayerShapes& shapes) {
    double n = 0;
    for (const auto& layer : shapes)
        for (const TensorShape& t : layer) n += static_cast<double>(t.rows * t.cols);
    return n;
}

double bits_with(const Settings& s, const LayerShapes& shapes, CodebookScope scope) {
    double bits = 0;
    for (const auto& layer : shapes) {
        for (const TensorShape& t : layer)
            bits += planned_bits(t, s, scope == CodebookScope::tensor);
        if (scope == CodebookScope::layer) bits += family_of(s.code).codebook_bits(s.code);
    }
    // One copy for all; the universal codebook too, so that a store can be read without this
    // library.
    if (scope == CodebookScope::model || scope == CodebookScope::universal)
        bits += family_of(s.code).codebook_bits(s.code);
    return bits;
}

/// `least`: bits a weight that would do, rounded up here, so that --bits takes what is read; 0:
/// unknown.
[[noreturn]] void throw_too_small(double budget, double least) {
    throw Error("the budget is too small for this method", fmt::format("--bits {}", budget),
                least > 0 ? fmt::format("the least it can do here is {:.3f} bits a weight",
                                        std::ceil(1000 * least) / 1000)
                          : std::string("use more bits"));
}

/// The highest rate, in steps of 1/1024 (of the rates without water-filling), at which a code with
/// rates meets the budget.
void fit_rate(Settings& s, const LayerShapes& shapes, double budget) {
    if (s.code.rate > 0) return;
    const double n = weights_in(shapes);
    double least = 0;
    const RateRange rates = family_of(s.code).rates(s.code);
    for (int step = 512 * rates.most.halves; step >= 512 * rates.least.halves;
         step -= s.code.waterfill ? 1 : 512 * rates.step.halves) {
        s.code.rate = step / 1024.0;
        least = plan_scope(s, shapes).bits / n;
        if (least <= budget) return;
    }
    throw_too_small(budget, least);
}

/// The largest rank of a low-rank term that the budget has room for.
void fit_rank(Settings& s, const LayerShapes& shapes, double budget) {
    if (!s.side.fill_rank) return;
    constexpr int most = 4096;
    const double n = weights_in(shapes);
    while (s.side.rank < most) {
        ++s.side.rank;
        if (plan_scope(s, shapes).bits / n <= budget) continue;
        --s.side.rank;
        return;
    }
}

/// The largest share of outlier columns, in steps of 1/256, with one bit for all others.
void fit_outliers(Settings& s, const LayerShapes& shapes, double budget) {
    s.code.stage_bits = {1};
    double least = 0;
    for (int step = 128; step >= 1; --step) {
        s.code.outliers = step / 256.0;
        least = plan_scope(s, shapes).bits / weights_in(shapes);
        if (least <= budget) return;
    }
    throw_too_small(budget, least);
}

}  // namespace

const std::vector<PresetInfo>& presets() {
    static const std::vector<PresetInfo> all = {
        {"best", "QTIP 2406.11235, QuIP# 2402.04396",
         "Hadamard on both sides, bitshift trellis along output rows, feedback column by column, "
         "bits by column, targets corrected for earlier layers; the default"},
        {"qtip", "QTIP 2406.11235",
         "Hadamard on both sides, bitshift trellis of a whole number of bits, feedback, no sweeps"},
        {"quip-sharp", "QuIP# 2402.04396",
         "Hadamard on both sides, the E8P lattice codebook, LDLQ, coordinate-descent sweeps"},
        {"rvq", "QuIP# 2402.04396, AQLM 2401.06118",
         "Hadamard on both sides, residual VQ of 8 weights with universal codebooks, LDLQ, refits"},
        {"aqlm", "AQLM 2401.06118",
         "additive codes of 8 input weights, codebooks of 2^8, beam search and revisions under the "
         "local metric, codebooks and codes refitted under the full Hessian"},
        {"higgs", "HIGGS 2411.17525",
         "no calibration data: Hadamard on inputs, Gaussian-optimal grid of 8 weights, nearest"},
        {"vptq", "VPTQ 2409.17066",
         "k-means VQ along output rows, columns by diag(H), outlier columns, forward feedback"},
        {"gptvq", "GPTVQ 2402.15319",
         "k-means VQ of 4 input columns inside GPTQ, H-weighted training"},
        {"gptq", "GPTQ 2210.17323",
         "scalar Lloyd-Max grid with a searched scale a row, columns by diag(H), forward feedback "
         "column by column"},
        {"awq", "AWQ 2306.00978",
         "uniform grid in groups of 128 with searched clipping, column scales from the inputs, no "
         "feedback"},
        {"finequant", "FineQuant 2308.09723",
         "no calibration data: uniform grid in groups of 64 with searched clipping"},
        {"llm-fp4", "LLM-FP4 2310.16836",
         "floating-point grid (E2M1 at 4 bits) with a searched scale a row, no feedback"},
        {"cvxq-grid", "CVXQ 2409.02026, Radio 2505.03031",
         "scalar Lloyd-Max grids of 1 to 8 bits by column: reverse water-filling over column "
         "variance times diag(H), no feedback"},
        {"bitmod", "BitMoD 2411.11745",
         "floating-point grid of 3 or 4 bits in groups of 64, each with one special value out of "
         "four and a searched scale"},
        {"pb-llm", "PB-LLM 2310.00034",
         "one bit a weight, and 8 bits in as many columns of large diag(H) as the budget allows"},
        {"squeezellm", "SqueezeLLM 2306.07629",
         "scalar grid by k-means weighted with diag(H), the .5% of the weights that cost most kept "
         "sparse in 16 bits, feedback column by column"},
        {"lq-lora", "LQ-LoRA 2311.12023",
         "NormalFloat grid in groups of 64 with feedback, and a low-rank term of 8-bit factors "
         "under the full Hessian, in turn; what the grid leaves of the budget sets the rank"},
        {"db-llm", "DB-LLM 2402.11960",
         "sums of binaries with scales in groups of 64, feedback and refits"},
    };
    return all;
}

Settings preset_settings(const std::string& name) {
    Settings s;
    s.method = name;
    if (name == "best" || name == "qtip") {
        s.transform.hadamard = TransformSettings::Hadamard::both;
        s.code.kind = "trellis";
        s.code.along = Along::outputs;
        s.scale.scope = ScaleLayout::Scope::row;
        s.correction = 0.35;
        if (name == "qtip") {
            s.correction = 0;
            s.code.waterfill = false;
            s.scale.scope = ScaleLayout::Scope::tensor;
        }
        return s;
    }
    if (name == "quip-sharp") {
        s.transform.hadamard = TransformSettings::Hadamard::both;
        s.code.kind = "e8p";
        s.scale.scope = ScaleLayout::Scope::row;
        s.refine.rounds = 10;
        return s;
    }
    if (name == "rvq") {
        s.transform.hadamard = TransformSettings::Hadamard::both;
        s.scale.scope = ScaleLayout::Scope::row;
        s.refine.rounds = 4;
        return s;
    }
    if (name == "aqlm") {
        s.code.most_stage_bits = 8;
        s.code.scope = CodebookScope::automatic;
        s.scale.scope = ScaleLayout::Scope::row;
        s.code.revisions = 2;
        s.code.kmeans.joint_rounds = 12;
        s.refine.rounds = 6;
        return s;
    }
    if (name == "higgs") {
        s.transform.hadamard = TransformSettings::Hadamard::in;
        s.objective = Objective::identity;
        s.scale.scope = ScaleLayout::Scope::row;
        s.order = FeedbackOrder::none;
        return s;
    }
    if (name == "vptq") {
        s.transform.column_scale = TransformSettings::ColumnScale::weight;
        s.transform.permute = true;
        s.code.along = Along::outputs;
        s.code.dim = 6;
        s.code.most_stage_bits = 13;
        s.code.scope = CodebookScope::automatic;
        s.code.outliers = 0.01;
        s.order = FeedbackOrder::forward;
        s.passes = 2;
        s.refine.rounds = 2;
        return s;
    }
    if (name == "gptvq") {
        s.code.dim = 4;
        s.code.most_stage_bits = 13;
        s.code.scope = CodebookScope::automatic;
        s.scale.scope = ScaleLayout::Scope::row;
        s.order = FeedbackOrder::forward;
        s.refine.rounds = 2;
        return s;
    }
    if (name == "gptq") {
        s.code.dim = 1;
        s.transform.permute = true;
        s.scale.scope = ScaleLayout::Scope::row;
        s.scale_search = 32;
        s.order = FeedbackOrder::forward;
        return s;
    }
    if (name == "awq" || name == "finequant" || name == "llm-fp4") {
        s.code.dim = 1;
        s.code.grid = name == "llm-fp4" ? Grid::floating : Grid::uniform;
        s.scale_search = 32;
        s.order = FeedbackOrder::none;
        s.scale.scope = ScaleLayout::Scope::group;
        if (name == "awq") {
            s.scale.group = 128;
            s.transform.column_scale = TransformSettings::ColumnScale::activation;
            s.transform.power_search = 11;
        } else if (name == "finequant") {
            s.scale.group = 64;
            s.objective = Objective::identity;
        } else {
            s.scale.scope = ScaleLayout::Scope::row;
        }
        return s;
    }
    if (name == "squeezellm") {
        s.code.dim = 1;
        s.code.scope = CodebookScope::tensor;
        s.scale.scope = ScaleLayout::Scope::row;
        s.scale_search = 32;
        s.order = FeedbackOrder::forward;
        s.side.sparse = 0.005;
        s.side.rounds = 2;
        return s;
    }
    if (name == "lq-lora") {
        s.code.dim = 1;
        s.code.grid = Grid::normal_float;
        s.scale = {ScaleLayout::Scope::group, 64};
        s.scale_search = 32;
        s.order = FeedbackOrder::forward;
        s.side.rank = 1;
        s.side.fill_rank = true;
        s.side.rounds = 4;
        return s;
    }
    if (name == "cvxq-grid") {
        s.code.kind = "grid";
        s.code.dim = 1;
        s.transform.column_scale = TransformSettings::ColumnScale::weight;
        s.transform.permute = true;
        s.scale.scope = ScaleLayout::Scope::row;
        s.scale_search = 32;
        s.order = FeedbackOrder::none;
        return s;
    }
    if (name == "bitmod") {
        s.code.kind = "bitmod";
        s.code.dim = 64;
        s.scale = {ScaleLayout::Scope::group, 64};
        s.scale_search = 32;
        return s;
    }
    if (name == "pb-llm" || name == "db-llm") {
        s.code.dim = 1;
        s.code.most_stage_bits = 1;
        s.code.scope = CodebookScope::tensor;
        s.order = FeedbackOrder::forward;
        s.refine.rounds = 4;
        if (name == "pb-llm") {
            s.transform.permute = true;
            s.code.fill_outliers = true;
            s.code.outliers = 0.1;
            s.code.outlier_dim = 1;
            s.code.outlier_bits = 8;
            s.scale.scope = ScaleLayout::Scope::row;
        } else {
            s.scale = {ScaleLayout::Scope::group, 64};
        }
        return s;
    }
    std::string names;
    for (const PresetInfo& p : presets()) names += (names.empty() ? "" : ", ") + p.name;
    throw Error("unknown method", name, "use one of: " + names);
}

ScopePlan plan_scope(const Settings& s, const LayerShapes& shapes) {
    check_scale_groups(s);
    if (s.code.scope != CodebookScope::automatic)
        return {s.code.scope, bits_with(s, shapes, s.code.scope)};
    const double n = weights_in(shapes);
    for (const CodebookScope scope : {CodebookScope::tensor, CodebookScope::layer}) {
        double copies = 0;
        for (const auto& layer : shapes)
            copies += scope == CodebookScope::tensor ? static_cast<double>(layer.size()) : 1.0;
        if (copies * family_of(s.code).codebook_bits(s.code) <= s.code.overhead * n)
            return {scope, bits_with(s, shapes, scope)};
    }
    return {CodebookScope::model, bits_with(s, shapes, CodebookScope::model)};
}

void fit_budget(Settings& s, const LayerShapes& shapes, double budget) {
    const CodeFamily& family = family_of(s.code);
    if (family.rates(s.code).any()) {
        fit_rate(s, shapes, budget);
        return;
    }
    if (!s.code.stage_bits.empty()) {
        fit_rank(s, shapes, budget);
        return;
    }
    if (s.code.fill_outliers) {
        fit_outliers(s, shapes, budget);
        return;
    }
    const double n = weights_in(shapes);
    const int most = static_cast<int>(std::floor(budget * s.code.dim));
    double least = 0;
    for (int bits = most; bits >= 1; --bits) {
        for (const std::vector<int>& stages : family.stages(s.code, bits)) {
            s.code.stage_bits = stages;
            least = plan_scope(s, shapes).bits / n;
            if (least > budget) continue;
            fit_rank(s, shapes, budget);
            return;
        }
    }
    throw_too_small(budget, least);
}

}  // namespace vq
