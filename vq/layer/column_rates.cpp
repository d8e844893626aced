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

constexpr int most_bits = 4;  // where all splits are tried

/// Steps of columns at 4, 3, 2 and 1 bits, and what they cost.
struct Split {
    std::array<Index, most_bits> steps{};  ///< [0]: at 4 bits
    double cost = std::numeric_limits<double>::infinity();
};

/// The best split with the highest rate first. sum[i]: D of the first i steps.
Split best_split(const std::vector<double>& sum, Index bits, const std::vector<double>& delta,
                 RateRange range) {
    const auto n = static_cast<Index>(sum.size()) - 1;
    Split best;
    for (Index n4 = 0; n4 <= n; ++n4)
        for (Index n3 = 0; n3 + n4 <= n; ++n3) {
            const Index n2 = bits - n - 3 * n4 - 2 * n3;
            const Index n1 = n - n4 - n3 - n2;
            if (n2 < 0) break;
            if (n1 < 0) continue;
            if ((range.most < 4 && n4 > 0) || (range.most < 3 && n3 > 0) ||
                (range.most < 2 && n2 > 0) || (range.least > 1 && n1 > 0) ||
                (range.least > 2 && n2 > 0) || (range.least > 3 && n3 > 0))
                continue;
            const double cost = sum[n4] * delta[3] + (sum[n4 + n3] - sum[n4]) * delta[2] +
                                (sum[n4 + n3 + n2] - sum[n4 + n3]) * delta[1] +
                                (sum[n] - sum[n4 + n3 + n2]) * delta[0];
            if (cost < best.cost) best = {{n4, n3, n2, n1}, cost};
        }
    return best;
}

/// Bits of every step, the highest first, when each further bit goes where it lowers the loss most:
/// the least loss for a convex delta.
std::vector<int> marginal_bits(const std::vector<double>& d, Index bits,
                               const std::vector<double>& delta, RateRange range) {
    std::vector<int> out(d.size(), range.least);
    const auto gain = [&](std::size_t i) {
        const auto k = static_cast<std::size_t>(out[i]);
        return d[i] * (delta[k - 1] - delta[k]);
    };
    using Entry = std::pair<double, std::size_t>;
    const auto worse = [](const Entry& a, const Entry& b) {
        return a.first != b.first ? a.first < b.first : a.second > b.second;
    };
    std::priority_queue<Entry, std::vector<Entry>, decltype(worse)> next(worse);
    for (std::size_t i = 0; i < d.size() && range.most > range.least; ++i) next.emplace(gain(i), i);
    for (Index left = bits - range.least * static_cast<Index>(d.size()); left > 0; --left) {
        VQ_ASSERT(!next.empty());
        const std::size_t i = next.top().second;
        next.pop();
        if (++out[i] < range.most) next.emplace(gain(i), i);
    }
    std::sort(out.begin(), out.end(), std::greater<>());
    return out;
}

std::vector<RateRun> marginal_plan(const VectorD& d, Index step, Index bits,
                                   const std::vector<double>& delta, RateRange range) {
    std::vector<double> sums;
    for (Index i = 0; i < d.size(); i += step) sums.push_back(d.segment(i, step).sum());
    std::vector<int> plan = marginal_bits(sums, bits, delta, range);
    double falling = 0;
    double rising = 0;
    for (std::size_t i = 0; i < plan.size(); ++i) {
        const double distortion = delta[static_cast<std::size_t>(plan[i]) - 1];
        falling += sums[i] * distortion;
        rising += sums[plan.size() - 1 - i] * distortion;
    }
    if (rising < falling) std::reverse(plan.begin(), plan.end());
    std::vector<RateRun> runs;
    for (const int b : plan) {
        if (runs.empty() || runs.back().bits != b) runs.push_back({b, 0});
        runs.back().cols += step;
    }
    return runs;
}

std::vector<double> prefix_sums(const VectorD& d, Index step, bool reversed) {
    const Index steps = d.size() / step;
    std::vector<double> sum(static_cast<std::size_t>(steps) + 1, 0.0);
    for (Index i = 0; i < steps; ++i)
        sum[i + 1] = sum[i] + d.segment((reversed ? steps - 1 - i : i) * step, step).sum();
    return sum;
}

}  // namespace

Index rate_step(Index n) {
    return n % 16 == 0 ? 16 : 1;
}

Index column_bits(Index n, double rate, const RateRange& range) {
    const Index step = range.step > 0 ? range.step : rate_step(n);
    // A rate that was computed from column-bits must give them again.
    const double wanted = rate * static_cast<double>(n) / static_cast<double>(step) + 1e-6;
    return std::clamp(static_cast<Index>(std::floor(wanted)) * step, range.least * n,
                      range.most * n);
}

std::vector<RateRun> plan_column_rates(const VectorD& d, double rate,
                                       const std::vector<double>& distortion, RateRange range) {
    VQ_ASSERT(d.size() >= 1 && range.least >= 1 && range.least <= range.most &&
              static_cast<int>(distortion.size()) >= range.most);
    const Index step = range.step > 0 ? range.step : rate_step(d.size());
    VQ_ASSERT(d.size() % step == 0);
    const Index bits = column_bits(d.size(), rate, range) / step;
    if (distortion.size() != most_bits) return marginal_plan(d, step, bits, distortion, range);
    const Split falling = best_split(prefix_sums(d, step, false), bits, distortion, range);
    const Split rising = best_split(prefix_sums(d, step, true), bits, distortion, range);
    const Split& best = rising.cost < falling.cost ? rising : falling;
    std::vector<RateRun> runs;
    for (int i = 0; i < most_bits; ++i)
        if (best.steps[i] > 0) runs.push_back({most_bits - i, best.steps[i] * step});
    if (&best == &rising) std::reverse(runs.begin(), runs.end());
    return runs;
}

}  // namespace vq
