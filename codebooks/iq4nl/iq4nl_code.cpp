// SPDX-License-Identifier: Apache-2.0
#include "codebooks/iq4nl/iq4nl_code.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bits.h"
#include "base/codes/local_metric.h"
#include "base/half.h"

namespace vq {

namespace {

constexpr int d = Iq4nlCode::block;
constexpr int least_level = Iq4nlCode::levels.front();
constexpr int most_level = Iq4nlCode::levels.back();
/// Sizes of the scale that are tried: the largest weight at 84, 88, ... 148 steps. Below 113 the
/// outer levels go unused, beyond 127 large weights are clipped; the best lies in between.
constexpr int first_reach = 84;
constexpr int last_reach = 148;
constexpr int reach_step = 4;
constexpr float most_half = 65504.0F;

using Indices = std::array<std::uint8_t, d>;

struct Candidate {
    Half scale = 0;
    Indices q{};
    double loss = std::numeric_limits<double>::infinity();
};

float level(std::uint8_t q) {
    return static_cast<float>(Iq4nlCode::levels[q]);
}

/// The nearest level's index for every whole number from least_level to most_level. Boundaries lie
/// at whole and half numbers: of two levels at the same distance rounding has chosen already.
const std::array<std::uint8_t, most_level - least_level + 1>& nearest_levels() {
    static const auto table = [] {
        std::array<std::uint8_t, most_level - least_level + 1> out{};
        for (int v = least_level; v <= most_level; ++v) {
            int best = 0;
            for (int q = 1; q < 16; ++q)
                if (std::abs(Iq4nlCode::levels[static_cast<std::size_t>(q)] - v) <
                    std::abs(Iq4nlCode::levels[static_cast<std::size_t>(best)] - v))
                    best = q;
            out[static_cast<std::size_t>(v - least_level)] = static_cast<std::uint8_t>(best);
        }
        return out;
    }();
    return table;
}

/// The index of the level nearest to `steps` (to its nearest whole number).
std::uint8_t nearest(float steps) {
    const float inside =
        std::clamp(steps, static_cast<float>(least_level), static_cast<float>(most_level));
    return nearest_levels()[static_cast<std::size_t>(static_cast<int>(std::nearbyint(inside)) -
                                                     least_level)];
}

Half rounded_scale(double scale) {
    return half_from_float(std::clamp(static_cast<float>(scale), -most_half, most_half));
}

/// sum_j D_j (x_j - scale level_j)^2.
double diagonal_loss(const float* x, const LocalMetric& m, const Candidate& c) {
    const float scale = float_from_half(c.scale);
    double loss = 0;
    for (int j = 0; j < d; ++j) {
        const double e = x[j] - scale * level(c.q[static_cast<std::size_t>(j)]);
        loss += m.diagonal[static_cast<std::size_t>(j)] * e * e;
    }
    return loss;
}

/// The best scale and nearest levels under weights D.
Candidate search_scales(const float* x, const LocalMetric& m) {
    float most = 0;
    for (int j = 0; j < d; ++j) most = std::max(most, std::abs(x[j]));
    Candidate best;
    if (!(most > 0)) {
        best.q.fill(nearest(0));
        best.loss = 0;
        return best;
    }
    for (int reach = first_reach; reach <= last_reach; reach += reach_step)
        for (const float sign : {1.0F, -1.0F}) {
            Candidate c;
            const float inverse = sign * static_cast<float>(reach) / most;
            double xq = 0;
            double qq = 0;
            for (int j = 0; j < d; ++j) {
                const std::uint8_t q = nearest(x[j] * inverse);
                c.q[static_cast<std::size_t>(j)] = q;
                const double weight = m.diagonal[static_cast<std::size_t>(j)];
                xq += weight * x[j] * level(q);
                qq += weight * level(q) * level(q);
            }
            // No level is zero, so that qq is 0 only where no weight counts.
            c.scale = rounded_scale(qq > 0 ? xq / qq : 1.0 / inverse);
            c.loss = diagonal_loss(x, m, c);
            if (c.loss < best.loss) best = c;
        }
    return best;
}

/// Levels for a given scale, each weight making good for the errors of those after it:
/// e^T M e = sum_j D_j (e_j + sum_{k>j} L_kj e_k)^2.
Candidate nearest_plane(const float* x, const LocalMetric& m, Half half) {
    Candidate c;
    c.scale = half;
    c.loss = 0;
    const float scale = float_from_half(half);
    const float inverse = scale != 0 ? 1.0F / scale : 0;
    std::array<float, d> targets{};
    std::copy_n(x, d, targets.begin());
    for (int j = d - 1; j >= 0; --j) {
        const auto at = static_cast<std::size_t>(j);
        c.q[at] = nearest(targets[at] * inverse);
        const float value = scale * level(c.q[at]);
        const double r = targets[at] - value;
        c.loss += m.diagonal[at] * r * r;
        const float e = x[j] - value;
        const float* row = m.lower.data() + static_cast<Index>(j) * d;
        for (int i = 0; i < j; ++i) targets[static_cast<std::size_t>(i)] += row[i] * e;
    }
    return c;
}

/// The same sum for codes at hand.
double plane_loss(const float* x, const LocalMetric& m, const Candidate& c) {
    const float scale = float_from_half(c.scale);
    std::array<double, d> e{};
    for (int j = 0; j < d; ++j)
        e[static_cast<std::size_t>(j)] = x[j] - scale * level(c.q[static_cast<std::size_t>(j)]);
    double loss = 0;
    for (int j = 0; j < d; ++j) {
        double r = e[static_cast<std::size_t>(j)];
        for (int k = j + 1; k < d; ++k) r += m.lower(k, j) * e[static_cast<std::size_t>(k)];
        loss += m.diagonal[static_cast<std::size_t>(j)] * r * r;
    }
    return loss;
}

void write(const Candidate& c, std::uint64_t* code) {
    write_field(code, 0, Iq4nlCode::scale_bits, c.scale);
    for (int j = 0; j < d; ++j)
        write_field(code, Iq4nlCode::scale_bits + j * Iq4nlCode::index_bits, Iq4nlCode::index_bits,
                    c.q[static_cast<std::size_t>(j)]);
}

float scale_of(const std::uint64_t* code) {
    return float_from_half(static_cast<Half>(read_field(code, 0, Iq4nlCode::scale_bits)));
}

}  // namespace

void Iq4nlCode::encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                       float* xhat) const {
    // The scale is searched under diag(M) itself, not under the D of M = L D L^T: it has to serve
    // the weights before the others make good for them.
    const LocalMetric weights = LocalMetric::diagonal_of(metric, d);
    const LocalMetric full(metric, d);
    std::fill_n(codes, n * words(), 0);
    for (Index i = 0; i < n; ++i) {
        const float* xi = x + i * d;
        Candidate best = search_scales(xi, weights);
        if (full.lower.size() > 0) {
            best.loss = plane_loss(xi, full, best);
            const Candidate plane = nearest_plane(xi, full, best.scale);
            if (plane.loss < best.loss) best = plane;
        }
        write(best, codes + i * words());
    }
    decode(codes, n, xhat);
}

void Iq4nlCode::decode(const std::uint64_t* codes, Index n, float* xhat) const {
    for (Index i = 0; i < n; ++i) {
        const std::uint64_t* code = codes + i * words();
        const float scale = scale_of(code);
        for (int j = 0; j < d; ++j)
            xhat[i * d + j] = scale * level(static_cast<std::uint8_t>(read_field(
                                          code, scale_bits + j * index_bits, index_bits)));
    }
}

bool Iq4nlCode::valid(const std::uint64_t* code) const {
    return std::isfinite(scale_of(code)) && code[words() - 1] >> (code_bits % 64) == 0;
}

Json Iq4nlCode::describe() const {
    return {{"code", "iq4nl"}, {"dim", block}, {"levels", levels}};
}

}  // namespace vq
