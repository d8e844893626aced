// SPDX-License-Identifier: Apache-2.0
// What losses come to: means, quantiles, and errors that take the windows of a text as the
// independent units, for tokens of one window are alike.
#pragma once

#include <span>
#include <vector>

#include "base/matrix.h"

namespace vq {

/// Sums over the losses of one window.
struct WindowSums {
    Index losses = 0;
    double nll = 0;  ///< nats
    double kl = 0;   ///< 0 without a reference
};

/// A mean over tokens with its standard error by window, and the 95% confidence interval (Student's
/// t). With a single window error and interval are not there (is_known is false, all 0).
struct MeanWithError {
    double mean = 0;
    double error = 0;
    double low = 0;
    double high = 0;
    bool is_known = false;
};

double mean(std::span<const double> x);
/// Of the mean of independent values; 0 for fewer than two.
double standard_error(std::span<const double> x, double average);
/// Of a ratio mean, sum of `sums` over sum of `losses`, whose independent units are the windows:
/// sqrt(n / (n - 1) sum_w (s_w - m l_w)^2) / sum_w l_w; 0 for a single window.
double window_error(std::span<const double> sums, std::span<const double> losses);
/// Of sorted values; linear interpolation between the two nearest ranks.
double quantile(std::span<const double> sorted, double q);

/// t with P(|T| <= t) = probability for Student's distribution with so many (at least one) degrees
/// of freedom.
double student_t(double probability, Index degrees);

/// Mean of b - a a token: of KL if `what` is &WindowSums::kl, of the loss if it is
/// &WindowSums::nll. Both models were run over the same windows, so that what is hard for both
/// cancels. Throws InternalError when the windows are others.
MeanWithError paired_difference(std::span<const WindowSums> a, std::span<const WindowSums> b,
                                double WindowSums::*what);
/// The mean itself.
MeanWithError window_mean(std::span<const WindowSums> windows, double WindowSums::*what);

}  // namespace vq
