// SPDX-License-Identifier: Apache-2.0
#include "model/eval_statistics.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace vq {

namespace {

double sum(std::span<const double> x) {
    double total = 0;
    for (const double v : x) total += v;
    return total;
}

// P(|T| <= t), in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4).
double student_probability(double t, Index degrees) {
    const double angle = std::atan(t / std::sqrt(static_cast<double>(degrees)));
    const double sine = std::sin(angle);
    const double cosine = std::cos(angle);
    const bool odd = degrees % 2 != 0;
    double term = odd ? cosine : 1.0;
    double series = 0;
    for (Index i = odd ? 1 : 0; i <= degrees - 2; i += 2) {
        series += term;
        const auto at = static_cast<double>(i);
        term *= (at + 1) / (at + 2) * cosine * cosine;
    }
    if (odd) return 2 / std::numbers::pi * (angle + sine * series);
    return sine * series;
}

MeanWithError with_error(std::span<const double> sums, std::span<const double> losses) {
    MeanWithError result;
    result.mean = sum(sums) / sum(losses);
    result.is_known = sums.size() > 1;
    if (!result.is_known) return result;
    result.error = window_error(sums, losses);
    const double reach = student_t(0.95, static_cast<Index>(sums.size()) - 1) * result.error;
    result.low = result.mean - reach;
    result.high = result.mean + reach;
    return result;
}

}  // namespace

double mean(std::span<const double> x) {
    return sum(x) / static_cast<double>(x.size());
}

double standard_error(std::span<const double> x, double average) {
    if (x.size() < 2) return 0;
    double squares = 0;
    for (const double v : x) squares += (v - average) * (v - average);
    const auto n = static_cast<double>(x.size());
    return std::sqrt(squares / (n - 1) / n);
}

double window_error(std::span<const double> sums, std::span<const double> losses) {
    if (sums.size() < 2) return 0;
    const double total = sum(losses);
    const double average = sum(sums) / total;
    double squares = 0;
    for (std::size_t w = 0; w < sums.size(); ++w) {
        const double off = sums[w] - average * losses[w];
        squares += off * off;
    }
    const auto n = static_cast<double>(sums.size());
    return std::sqrt(squares * n / (n - 1)) / total;
}

double quantile(std::span<const double> sorted, double q) {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double student_t(double probability, Index degrees) {
    VQ_ASSERT(degrees >= 1 && probability > 0 && probability < 1);
    double low = 0;
    double high = 1;
    while (student_probability(high, degrees) < probability) high *= 2;
    for (int i = 0; i < 100; ++i) {
        const double middle = (low + high) / 2;
        (student_probability(middle, degrees) < probability ? low : high) = middle;
    }
    return high;
}

MeanWithError paired_difference(std::span<const WindowSums> a, std::span<const WindowSums> b,
                                double WindowSums::*what) {
    VQ_ASSERT(!a.empty() && a.size() == b.size());
    std::vector<double> sums;
    std::vector<double> losses;
    for (std::size_t w = 0; w < a.size(); ++w) {
        VQ_ASSERT(a[w].losses == b[w].losses);
        sums.push_back(b[w].*what - a[w].*what);
        losses.push_back(static_cast<double>(a[w].losses));
    }
    return with_error(sums, losses);
}

MeanWithError window_mean(std::span<const WindowSums> windows, double WindowSums::*what) {
    VQ_ASSERT(!windows.empty());
    std::vector<double> sums;
    std::vector<double> losses;
    for (const WindowSums& w : windows) {
        sums.push_back(w.*what);
        losses.push_back(static_cast<double>(w.losses));
    }
    return with_error(sums, losses);
}

}  // namespace vq
