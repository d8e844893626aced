// SPDX-License-Identifier: Apache-2.0
// Two models on the same text, window by window: what is hard for both cancels in the difference,
// whose error is therefore much smaller than that of either figure.
#pragma once

#include <span>

#include "base/json.h"
#include "model/eval_statistics.h"

namespace vq {

/// Of models A and B over the same windows; everything in nats a token.
struct Comparison {
    Index tokens = 0;  ///< losses
    Index windows = 0;
    bool has_reference = false;
    MeanWithError nll_a;
    MeanWithError nll_b;
    MeanWithError nll_difference;  ///< of B - A
    MeanWithError kl_a;            ///< with a reference, as the two below
    MeanWithError kl_b;
    MeanWithError kl_difference;
};

/// `a` and `b` are EvalResult::by_window; for several texts, those of all of them one after the
/// other.
Comparison compare_windows(std::span<const WindowSums> a, std::span<const WindowSums> b,
                           bool has_reference);

/// Keys of an object of `vq compare --json`. Errors and intervals of a single window are null.
Json to_json(const Comparison& comparison);

}  // namespace vq
