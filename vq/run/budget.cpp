// SPDX-License-Identifier: Apache-2.0
#include "vq/run/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "vq/layer/planned_bits.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

/// No family has a smallest code of more bits: 64 weights of 16 bits.
constexpr int most_vector_bits = 1024;

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

/// `least`: bits a weight that would do, rounded up here, so that --bits takes what is read.
[[noreturn]] void throw_too_small(double budget, double least) {
    throw Error("the budget is too small for this method", fmt::format("--bits {}", budget),
                fmt::format("the least it can do here is {:.3f} bits a weight",
                            std::ceil(1000 * least) / 1000));
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
    // No code of so few bits: the smallest of those that there are.
    for (int bits = std::max(most, 0) + 1; least == 0; ++bits) {
        VQ_ASSERT(bits <= most_vector_bits);
        const std::vector<std::vector<int>> stages = family.stages(s.code, bits);
        if (stages.empty()) continue;
        s.code.stage_bits = stages.front();
        least = plan_scope(s, shapes).bits / n;
    }
    throw_too_small(budget, least);
}

}  // namespace vq
