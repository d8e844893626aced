#include "vq/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "codebooks/residual_code.h"
#include "codebooks/universal.h"
#include "vq/stored_tensor.h"

namespace vq {

namespace {

/// The stages of a code of `bits` bits: as shipped for universal codebooks (empty: none is), else
/// cut evenly.
std::vector<int> stages_for(const Settings& s, int bits) {
    if (s.code.scope != CodebookScope::universal) return split_bits(bits, s.code.most_stage_bits);
    for (const std::vector<int>& stages : universal_stages(s.code.dim))
        if (std::accumulate(stages.begin(), stages.end(), 0) == bits) return stages;
    return {};
}

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
        if (scope == CodebookScope::layer) bits += codebook_bits(s);
    }
    // One copy for all; the universal codebook too, so that a store can be read without this
    // library.
    if (scope == CodebookScope::model || scope == CodebookScope::universal)
        bits += codebook_bits(s);
    return bits;
}

/// The highest rate, in steps of 1/1024 (whole bits without water-filling), at which a trellis
/// meets the budget.
void fit_rate(Settings& s, const LayerShapes& shapes, double budget) {
    if (s.code.rate > 0) return;
    const double n = weights_in(shapes);
    double least = 0;
    for (int step = 4096; step >= 1024; step -= s.code.waterfill ? 1 : 1024) {
        s.code.rate = step / 1024.0;
        least = plan_scope(s, shapes).bits / n;
        if (least <= budget) return;
    }
    throw Error("the budget is too small for this method", fmt::format("--bits {}", budget),
                fmt::format("the least it can do here is {:.3f} bits a weight", least));
}

}  // namespace

const std::vector<PresetInfo>& presets() {
    static const std::vector<PresetInfo> all = {
        {"best", "QTIP 2406.11235, QuIP# 2402.04396",
         "Hadamard on both sides, bitshift trellis along output rows, feedback column by column, "
         "bits by column, sweeps; the default"},
        {"qtip", "QTIP 2406.11235",
         "Hadamard on both sides, bitshift trellis of a whole number of bits, feedback, no sweeps"},
        {"rvq", "QuIP# 2402.04396, AQLM 2401.06118",
         "Hadamard on both sides, residual VQ of 8 weights with universal codebooks, LDLQ, refits"},
        {"vptq", "VPTQ 2409.17066",
         "k-means VQ along output rows, columns by diag(H), outlier columns, forward feedback"},
        {"gptvq", "GPTVQ 2402.15319",
         "k-means VQ of 4 input columns inside GPTQ, H-weighted training"},
        {"gptq", "GPTQ 2210.17323",
         "scalar Lloyd-Max grid with a searched scale a row, forward feedback column by column"},
    };
    return all;
}

Settings preset_settings(const std::string& name) {
    Settings s;
    s.method = name;
    if (name == "best" || name == "qtip") {
        s.transform.hadamard = TransformSettings::Hadamard::both;
        s.code.kind = CodeKind::trellis;
        s.code.along = Along::outputs;
        s.scale.scope = ScaleLayout::Scope::row;
        s.refine.rounds = 2;
        if (name == "qtip") {
            s.code.waterfill = false;
            s.scale.scope = ScaleLayout::Scope::tensor;
            s.refine.rounds = 0;
        }
        return s;
    }
    if (name == "rvq") {
        s.transform.hadamard = TransformSettings::Hadamard::both;
        s.scale.scope = ScaleLayout::Scope::row;
        s.refine.rounds = 4;
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
        s.scale.scope = ScaleLayout::Scope::row;
        s.scale_search = 32;
        s.order = FeedbackOrder::forward;
        return s;
    }
    std::string names;
    for (const PresetInfo& p : presets()) names += (names.empty() ? "" : ", ") + p.name;
    throw Error("unknown method", name, "use one of: " + names);
}

ScopePlan plan_scope(const Settings& s, const LayerShapes& shapes) {
    if (s.code.scope != CodebookScope::automatic)
        return {s.code.scope, bits_with(s, shapes, s.code.scope)};
    const double n = weights_in(shapes);
    for (const CodebookScope scope : {CodebookScope::tensor, CodebookScope::layer}) {
        double copies = 0;
        for (const auto& layer : shapes)
            copies += scope == CodebookScope::tensor ? static_cast<double>(layer.size()) : 1.0;
        if (copies * codebook_bits(s) <= s.code.overhead * n)
            return {scope, bits_with(s, shapes, scope)};
    }
    return {CodebookScope::model, bits_with(s, shapes, CodebookScope::model)};
}

void fit_budget(Settings& s, const LayerShapes& shapes, double budget) {
    if (s.code.kind == CodeKind::trellis) {
        fit_rate(s, shapes, budget);
        return;
    }
    if (!s.code.stage_bits.empty()) return;
    if (s.code.scope == CodebookScope::universal && universal_stages(s.code.dim).empty())
        throw Error("no universal codebook for vectors of this length",
                    fmt::format("code.dim={}", s.code.dim),
                    "use 8 or 1, or --set code.scope=model");
    const double n = weights_in(shapes);
    const int most = std::min(64, static_cast<int>(std::floor(budget * s.code.dim)));
    double least = 0;
    for (int bits = most; bits >= 1; --bits) {
        s.code.stage_bits = stages_for(s, bits);
        if (s.code.stage_bits.empty()) continue;
        least = plan_scope(s, shapes).bits / n;
        if (least <= budget) return;
    }
    throw Error("the budget is too small for this method", fmt::format("--bits {}", budget),
                least > 0 ? fmt::format("the least it can do here is {:.3f} bits a weight", least)
                          : std::string("use more bits"));
}

}  // namespace vq
