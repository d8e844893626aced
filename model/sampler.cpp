// SPDX-License-Identifier: Apache-2.0
#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace vq {

void check_sample_options(const SampleOptions& options) {
    if (!(options.temperature >= 0) || !std::isfinite(options.temperature))
        throw Error("temperature out of range", std::to_string(options.temperature),
                    "use 0 (greedy) or more");
    if (options.top_k < 0)
        throw Error("top-k out of range", std::to_string(options.top_k), "use 0 (all) or more");
    if (!(options.top_p > 0 && options.top_p <= 1))
        throw Error("top-p out of range", std::to_string(options.top_p), "use a number in (0, 1]");
}

TokenId sample_token(const Vector& logits, const SampleOptions& options, std::uint64_t step) {
    VQ_ASSERT(logits.size() > 0);
    Index best = 0;
    logits.maxCoeff(&best);
    if (options.temperature == 0) return static_cast<TokenId>(best);

    std::vector<TokenId> order(static_cast<std::size_t>(logits.size()));
    std::iota(order.begin(), order.end(), 0);
    auto keep = static_cast<std::ptrdiff_t>(order.size());
    if (options.top_k > 0) keep = std::min<std::ptrdiff_t>(keep, options.top_k);
    std::partial_sort(order.begin(), order.begin() + keep, order.end(), [&](TokenId a, TokenId b) {
        return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    });
    order.resize(static_cast<std::size_t>(keep));

    const double top = logits[best];
    std::vector<double> weight(order.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        weight[i] = std::exp((static_cast<double>(logits[order[i]]) - top) / options.temperature);
    const double all = std::accumulate(weight.begin(), weight.end(), 0.0);
    std::size_t nucleus = 0;
    double kept = 0;
    while (nucleus < weight.size() && (nucleus == 0 || kept < options.top_p * all))
        kept += weight[nucleus++];

    double left = random_uniform(options.seed, step) * kept;
    for (std::size_t i = 0; i < nucleus; ++i) {
        left -= weight[i];
        if (left < 0) return order[i];
    }
    return order[nucleus - 1];
}

}  // namespace vq
