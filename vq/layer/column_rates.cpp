// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/column_rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "base/error.h"

namespace vq {

namespace {

// A plan is made of steps of columns and of levels: level i is the rate range.at(i). What is to be
// spent is the sum of all levels.

constexpr int most_levels = 4;  // where all splits are tried

/// Steps of columns at levels 3, 2, 1 and 0, and what they cost.
struct Split {
    std::array<Index, most_levels> steps{};  ///< [0]: at level 3
    double cost = std::numeric_limits<double>::infinity();
};

/// The best split with the highest rate first. sum[i]: D of the first i steps. delta: of levels
/// 0 .. 3, zeros where there are fewer.
Split best_split(const VectorD& sum, Index levels, const std::vector<double>& delta, int top) {
    const Index n = sum.size() - 1;
    Split best;
    for (Index n3 = 0; n3 <= (top < 3 ? 0 : n); ++n3)
        for (Index n2 = 0; n2 <= (top < 2 ? 0 : n - n3); ++n2) {
            const Index n1 = levels - 3 * n3 - 2 * n2;
            const Index n0 = n - n3 - n2 - n1;
            if (n1 < 0) break;
            if (n0 < 0 || (top < 1 && n1 > 0)) continue;
            const double cost = sum(n3) * delta[3] + (sum(n3 + n2) - sum(n3)) * delta[2] +
                                (sum(n3 + n2 + n1) - sum(n3 + n2)) * delta[1] +
                                (sum(n) - sum(n3 + n2 + n1)) * delta[0];
            if (cost < best.cost) best = {{n3, n2, n1, n0}, cost};
        }
    return best;
}

/// Levels of every step, the highest first, when each further one goes where it lowers the loss
/// most: the least loss for a convex delta.
std::vector<int> marginal_levels(const std::vector<double>& d, Index levels,
                                 const std::vector<double>& delta, int top) {
    std::vector<int> out(d.size(), 0);
    const auto gain = [&](std::size_t i) {
        const auto k = static_cast<std::size_t>(out[i]);
        return d[i] * (delta[k] - delta[k + 1]);
    };
    using Entry = std::pair<double, std::size_t>;
    const auto worse = [](const Entry& a, const Entry& b) {
        return a.first != b.first ? a.first < b.first : a.second > b.second;
    };
    std::priority_queue<Entry, std::vector<Entry>, decltype(worse)> next(worse);
    for (std::size_t i = 0; i < d.size() && top > 0; ++i) next.emplace(gain(i), i);
    for (Index left = levels; left > 0; --left) {
        VQ_ASSERT(!next.empty());
        const std::size_t i = next.top().second;
        next.pop();
        if (++out[i] < top) next.emplace(gain(i), i);
    }
    std::sort(out.begin(), out.end(), std::greater<>());
    return out;
}

std::vector<RateRun> marginal_plan(const VectorD& d, Index step, Index levels,
                                   const std::vector<double>& delta, const RateRange& range) {
    std::vector<double> sums;
    for (Index i = 0; i < d.size(); i += step) sums.push_back(d.segment(i, step).sum());
    std::vector<int> plan = marginal_levels(sums, levels, delta, range.count() - 1);
    double falling = 0;
    double rising = 0;
    for (std::size_t i = 0; i < plan.size(); ++i) {
        const double distortion = delta[static_cast<std::size_t>(plan[i])];
        falling += sums[i] * distortion;
        rising += sums[plan.size() - 1 - i] * distortion;
    }
    if (rising < falling) std::reverse(plan.begin(), plan.end());
    std::vector<RateRun> runs;
    for (const int level : plan) {
        const HalfBits rate = range.at(level);
        if (runs.empty() || runs.back().rate != rate) runs.push_back({rate, 0});
        runs.back().cols += step;
    }
    return runs;
}

VectorD prefix_sums(const VectorD& d, Index step, bool reversed) {
    const Index steps = d.size() / step;
    VectorD sum = VectorD::Zero(steps + 1);
    for (Index i = 0; i < steps; ++i)
        sum(i + 1) = sum(i) + d.segment((reversed ? steps - 1 - i : i) * step, step).sum();
    return sum;
}

Index columns_together(Index n, const RateRange& range) {
    return range.columns > 0 ? range.columns : rate_step(n);
}

/// What is spent above the least rate, in levels of single columns.
Index spent_levels(Index n, double rate, const RateRange& range) {
    const Index together = columns_together(n, range);
    const double unit = range.step.bits();
    // A rate that was computed from column_bits must give them again.
    const double wanted = rate / unit * static_cast<double>(n) / static_cast<double>(together);
    const auto units = static_cast<Index>(std::floor(wanted + 1e-6)) * together;
    const Index least = range.least.halves / range.step.halves * n;
    return std::clamp(units - least, Index{0}, (range.count() - 1) * n);
}

}  // namespace

Index rate_step(Index n) {
    return n % 16 == 0 ? 16 : 1;
}

double column_bits(Index n, double rate, const RateRange& range) {
    return range.least.bits() * static_cast<double>(n) +
           range.step.bits() * static_cast<double>(spent_levels(n, rate, range));
}

std::vector<RateRun> plan_column_rates(const VectorD& d, double rate,
                                       const std::vector<double>& distortions,
                                       const RateRange& range) {
    VQ_ASSERT(d.size() >= 1 && range.least.halves > 0 && range.least <= range.most &&
              range.least.halves % range.step.halves == 0 &&
              static_cast<int>(distortions.size()) == range.count());
    const Index step = columns_together(d.size(), range);
    VQ_ASSERT(d.size() % step == 0);
    const Index levels = spent_levels(d.size(), rate, range) / step;
    if (range.count() > most_levels) return marginal_plan(d, step, levels, distortions, range);
    std::vector<double> delta = distortions;
    delta.resize(most_levels, 0.0);
    const int top = range.count() - 1;
    const Split falling = best_split(prefix_sums(d, step, false), levels, delta, top);
    const Split rising = best_split(prefix_sums(d, step, true), levels, delta, top);
    const Split& best = rising.cost < falling.cost ? rising : falling;
    std::vector<RateRun> runs;
    int level = most_levels;
    for (const Index here : best.steps) {
        --level;
        if (here > 0) runs.push_back({range.at(level), here * step});
    }
    if (&best == &rising) std::reverse(runs.begin(), runs.end());
    return runs;
}

}  // namespace vq
