// SPDX-License-Identifier: Apache-2.0
#include "model/compare.h"

#include <cmath>

namespace vq {

namespace {

Json known(const MeanWithError& of, double value) {
    return of.is_known ? Json(value) : Json(nullptr);
}

Json difference_json(const MeanWithError& d) {
    return {{"mean", d.mean},
            {"stderr", known(d, d.error)},
            {"low", known(d, d.low)},
            {"high", known(d, d.high)}};
}

}  // namespace

Comparison compare_windows(std::span<const WindowSums> a, std::span<const WindowSums> b,
                           bool has_reference) {
    Comparison c;
    c.windows = static_cast<Index>(a.size());
    c.has_reference = has_reference;
    for (const WindowSums& w : a) c.tokens += w.losses;
    c.nll_a = window_mean(a, &WindowSums::nll);
    c.nll_b = window_mean(b, &WindowSums::nll);
    c.nll_difference = paired_difference(a, b, &WindowSums::nll);
    if (!has_reference) return c;
    c.kl_a = window_mean(a, &WindowSums::kl);
    c.kl_b = window_mean(b, &WindowSums::kl);
    c.kl_difference = paired_difference(a, b, &WindowSums::kl);
    return c;
}

Json to_json(const Comparison& c) {
    const auto model = [&](const MeanWithError& nll, const MeanWithError& kl) {
        Json json = {{"perplexity", std::exp(nll.mean)},
                     {"nll_mean", nll.mean},
                     {"nll_stderr_windows", known(nll, nll.error)}};
        if (c.has_reference) {
            json["kld_mean"] = kl.mean;
            json["kld_stderr_windows"] = known(kl, kl.error);
        }
        return json;
    };
    Json json = {{"tokens", c.tokens},
                 {"windows", c.windows},
                 {"a", model(c.nll_a, c.kl_a)},
                 {"b", model(c.nll_b, c.kl_b)},
                 {"nll_difference", difference_json(c.nll_difference)}};
    if (c.has_reference) json["kld_difference"] = difference_json(c.kl_difference);
    return json;
}

}  // namespace vq
