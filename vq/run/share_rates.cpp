// SPDX-License-Identifier: Apache-2.0
#include "vq/run/share_rates.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "vq/layer/planned_tensor.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

double weights_of(const TensorPlan& t) {
    return static_cast<double>(t.shape.rows) * static_cast<double>(t.shape.cols);
}

/// Mean bits a weight of a tensor whose columns take bits as long as one more is worth e^level.
double bits_at(double level, const TensorPlan& t) {
    const RateRange rates = family_of(t.settings.code).rates(t.settings.code);
    double bits = rates.least.bits();
    for (double k = bits; k < rates.most.bits(); ++k) {
        // ln of what the step from k to k + 1 takes away in a column of the mean weight.
        const double gain = std::log(t.importance) - k * std::log(4.0);
        const double z = (level - gain) / column_spread + 0.5 * column_spread;
        bits += 0.5 * std::erfc(z / std::numbers::sqrt2);
    }
    return bits;
}

/// Bits a weight of every free tensor, in the order of the plan.
std::vector<double> levels(double bits, const ModelPlan& plan) {
    std::vector<const TensorPlan*> free;
    double weights = 0;
    bool alike = true;
    for (const TensorPlan& t : plan.tensors) {
        if (!is_free(t)) continue;
        free.push_back(&t);
        weights += weights_of(t);
        alike = alike && t.importance == free.front()->importance;
    }
    std::vector<double> out(free.size(), weights > 0 ? bits / weights : 0);
    if (alike) return out;
    double low = -60;  // of the level: all bits that there are
    double high = 60;
    for (int i = 0; i < 80; ++i) {
        const double level = 0.5 * (low + high);
        double sum = 0;
        for (std::size_t t = 0; t < free.size(); ++t) {
            out[t] = bits_at(level, *free[t]);
            sum += out[t] * weights_of(*free[t]);
        }
        (sum > bits ? low : high) = level;
    }
    return out;
}

}  // namespace

bool is_free(const TensorPlan& t) {
    const CodeSettings& code = t.settings.code;
    return t.role == PlanRole::linear && !t.given && family_of(code).rates(code).any();
}

double free_bits(const ModelPlan& plan) {
    double bits = 0;
    for (const TensorPlan& t : plan.tensors)
        if (is_free(t)) bits += rate_bits(t.shape, t.settings);
    return bits;
}

void share_rates(double bits, ModelPlan& plan) {
    const std::vector<double> each = levels(bits, plan);
    double carried = 0;
    std::size_t i = 0;
    for (TensorPlan& t : plan.tensors) {
        if (!is_free(t)) continue;
        const double wanted = carried + each[i++] * weights_of(t);
        t.settings.code.rate = rate_within(t.shape, t.settings, wanted);
        carried = wanted - rate_bits(t.shape, t.settings);
    }
}

}  // namespace vq
