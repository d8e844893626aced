// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/scalar_grid.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "base/half.h"

namespace vq {

namespace {

/// Steps with the least error on a Gaussian, for 1..8 bits: of values that mirror each other (Max
/// 1960 and its continuation), and of -2^(b-1) ... 2^(b-1) - 1 steps, from 2 bits on.
constexpr double mirrored_steps[] = {1.596, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308};
constexpr double integer_steps[] = {1.596, 1.0484, 0.6018, 0.3386, 0.1888, 0.1042, 0.0569, 0.0308};

/// Where a Gaussian's largest weights lie, in standard deviations: the top of a floating grid.
constexpr double floating_top = 3.0;

/// x with P(X <= x) = p, X of N(0, 1): bisection, which rounds the same everywhere.
double normal_quantile(double p) {
    double low = -10;
    double high = 10;
    for (int i = 0; i < 80; ++i) {
        const double middle = 0.5 * (low + high);
        (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
    }
    return 0.5 * (low + high);
}

std::vector<double> equal_steps(int bits, double least, double step) {
    std::vector<double> values(std::size_t{1} << bits);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = (least + static_cast<double>(i)) * step;
    return values;
}

std::vector<double> mirrored_values(int bits) {
    return equal_steps(bits, -0.5 * ((1 << bits) - 1), mirrored_steps[bits - 1]);
}

/// Signed integers: weights that meet inputs of thousands (a few columns of many models) are small
/// themselves, and a grid without zero would make them half a step large.
std::vector<double> integer_values(int bits) {
    if (bits == 1) return mirrored_values(1);
    return equal_steps(bits, -(1 << (bits - 1)), integer_steps[bits - 1]);
}

double normal_below(double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
}
double normal_density(double x) {
    return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
}

/// Lloyd-Max: every value is the mean of the Gaussian between the midpoints to its neighbours.
std::vector<double> gaussian_values(int bits) {
    std::vector<double> values = mirrored_values(bits);
    const std::size_t k = values.size();
    // Many levels are slow to settle: they start where their density is that of the best grid,
    // the cube root of the Gaussian's (Panter and Dite 1951), and only the tails have to move.
    const bool many = bits > 6;
    for (std::size_t i = 0; many && i < k; ++i)
        values[i] = std::sqrt(3.0) *
                    normal_quantile((static_cast<double>(i) + 0.5) / static_cast<double>(k));
    double moved = 1;
    for (int round = 0; round < (many ? 2000 : 100000) && moved > 1e-9; ++round) {
        moved = 0;
        double left = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < k; ++i) {
            const double right = i + 1 < k ? 0.5 * (values[i] + values[i + 1])
                                           : std::numeric_limits<double>::infinity();
            const double mean = (normal_density(left) - normal_density(right)) /
                                (normal_below(right) - normal_below(left));
            moved = std::max(moved, std::abs(mean - values[i]));
            values[i] = mean;
            left = right;
        }
    }
    // Free of what rounding did to its symmetry.
    for (std::size_t i = 0; i < k / 2; ++i) {
        const double half = 0.5 * (values[k - 1 - i] - values[i]);
        values[i] = -half;
        values[k - 1 - i] = half;
    }
    return values;
}

/// 2^(b-1) quantiles from the lowest to zero, 2^(b-1) + 1 from zero to the highest, zero once.
std::vector<double> normal_float_values(int bits) {
    const int half = 1 << (bits - 1);
    const double edge = 0.5 * (1.0 / (4 * half) + 1.0 / (4 * half - 2));
    std::vector<double> values;
    values.reserve(std::size_t{1} << bits);
    for (int i = 0; i < half - 1; ++i)
        values.push_back(normal_quantile(edge + (0.5 - edge) * i / (half - 1)));
    for (int i = 0; i <= half; ++i)
        values.push_back(i == 0 ? 0.0 : normal_quantile(0.5 + (0.5 - edge) * i / half));
    return values;
}

std::vector<double> floating_values(int bits) {
    const int exponent_bits = std::min(2, bits - 1);
    const int mantissa_bits = bits - 1 - exponent_bits;
    std::vector<double> values;
    for (int e = 0; e < 1 << exponent_bits; ++e)
        for (int m = 0; m < 1 << mantissa_bits; ++m) {
            const double fraction = std::ldexp(static_cast<double>(m), -mantissa_bits);
            values.push_back(e == 0 ? fraction : std::ldexp(1 + fraction, e - 1));
        }
    const double top = values.back();
    const std::size_t positive = values.size();
    for (std::size_t i = 0; i < positive; ++i) {
        values[i] *= floating_top / top;
        values.push_back(-values[i]);
    }
    std::sort(values.begin(), values.end());
    return values;
}

const char* prefix(Grid grid) {
    switch (grid) {
        case Grid::gaussian: return "gauss";
        case Grid::uniform: return "uniform";
        case Grid::normal_float: return "nf";
        default: return "fp";
    }
}

}  // namespace

std::string scalar_grid_name(Grid grid, int bits) {
    return fmt::format("{}_{}", prefix(grid), bits);
}

std::vector<int> scalar_grid_bits(Grid grid) {
    switch (grid) {
        case Grid::normal_float:
        case Grid::floating: return {2, 3, 4, 5, 6};
        default: return {1, 2, 3, 4, 5, 6, 7, 8};
    }
}

std::shared_ptr<const ResidualCode> scalar_grid(Grid grid, int bits) {
    const std::vector<int> rates = scalar_grid_bits(grid);
    if (std::find(rates.begin(), rates.end(), bits) == rates.end())
        throw Error("no scalar grid of this size", scalar_grid_name(grid, bits),
                    fmt::format("use one of {} bits", fmt::join(rates, ", ")));
    const std::vector<double> values = grid == Grid::gaussian       ? gaussian_values(bits)
                                       : grid == Grid::uniform      ? integer_values(bits)
                                       : grid == Grid::normal_float ? normal_float_values(bits)
                                                                    : floating_values(bits);
    std::vector<Matrix> codebook(1, Matrix(Index{1} << bits, 1));
    VQ_ASSERT(static_cast<Index>(values.size()) == codebook[0].rows());
    for (std::size_t i = 0; i < values.size(); ++i)
        codebook[0].data()[i] = round_to_half(static_cast<float>(values[i]));
    return std::make_shared<ResidualCode>(std::move(codebook), 1);
}

double gaussian_distortion(const std::vector<float>& values) {
    // Of one cell [l, r] with value v: (1 + v^2) P + 2 v (p(r) - p(l)) + l p(l) - r p(r).
    double sum = 0;
    double left = -std::numeric_limits<double>::infinity();
    const auto moment = [](double x) { return std::isinf(x) ? 0.0 : x * normal_density(x); };
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double v = values[i];
        const double right = i + 1 < values.size() ? 0.5 * (v + static_cast<double>(values[i + 1]))
                                                   : std::numeric_limits<double>::infinity();
        sum += (1 + v * v) * (normal_below(right) - normal_below(left)) +
               2 * v * (normal_density(right) - normal_density(left)) + moment(left) -
               moment(right);
        left = right;
    }
    return sum;
}

}  // namespace vq
