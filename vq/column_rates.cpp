#include "vq/column_rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace vq {

namespace {

constexpr int most_bits = 4;

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

Index column_bits(Index n, double rate) {
    const Index step = rate_step(n);
    // A rate that was computed from column-bits must give them again.
    const double wanted = rate * static_cast<double>(n) / static_cast<double>(step) + 1e-6;
    return std::clamp(static_cast<Index>(std::floor(wanted)) * step, n, most_bits * n);
}

std::vector<RateRun> plan_column_rates(const VectorD& d, double rate,
                                       const std::vector<double>& distortion, RateRange range) {
    VQ_ASSERT(d.size() >= 1 && distortion.size() == most_bits);
    const Index step = rate_step(d.size());
    const Index bits = column_bits(d.size(), rate) / step;
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
