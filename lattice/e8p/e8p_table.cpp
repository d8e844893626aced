// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "lattice/e8p/e8p_patterns.h"

namespace vq {

namespace {

E8pTable make_table() {
    const E8pPatterns& integers = e8p_integers();
    E8pTable table{};
    for (std::size_t k = 0; k < e8p_patterns; ++k) {
        float norm = 0;
        for (std::size_t i = 0; i < e8_dim; ++i) {
            const int twice = integers.twice_abs[k][i];
            table.packed[k] |= static_cast<std::uint32_t>(twice) << (4 * i);
            const float a = static_cast<float>(twice) * 0.5F;
            table.by_dimension[i * e8p_patterns + k] = a;
            norm += a * a;
        }
        if (integers.odd[k]) table.packed[k] |= 1u << 31;
        table.squared_norm[k] = norm;
    }
    return table;
}

Matrix make_short_vectors() {
    Matrix out(256, e8_dim);
    for (Index k = 0; k < 256; ++k)
        for (Index i = 0; i < e8_dim; ++i)
            out(k, i) =
                static_cast<float>(e8p_integers().twice_short[static_cast<std::size_t>(k)]
                                                             [static_cast<std::size_t>(i)]) *
                0.5F;
    return out;
}

/// |s - t|^2 - |t|^2 of the best signs of every pattern, t = x - shift. Signs follow t; where the
/// sum would be odd, the coordinate that loses least, 4 |s_i| |t_i|, takes the other sign.
void score_patterns(const float* t, float* score) {
    const E8pTable& table = e8p_table();
    std::array<float, e8p_patterns> dot{};
    std::array<float, e8p_patterns> least;
    least.fill(std::numeric_limits<float>::max());
    bool odd = false;
    for (std::size_t i = 0; i < e8_dim; ++i) {
        const float size = std::abs(t[i]);
        odd ^= std::signbit(t[i]);
        // Patterns innermost: 256 of them fill registers, 8 dimensions would not.
        const float* a = table.by_dimension.data() + i * e8p_patterns;
        for (std::size_t k = 0; k < e8p_patterns; ++k) {
            const float p = a[k] * size;
            dot[k] += p;
            least[k] = p < least[k] ? p : least[k];
        }
    }
    for (std::size_t k = 0; k < e8p_patterns; ++k) {
        const float flip = (table.packed[k] >> 31 != 0) != odd ? 4.0F * least[k] : 0.0F;
        score[k] = table.squared_norm[k] - 2.0F * dot[k] + flip;
    }
}

std::uint16_t with_best_signs(const float* x, std::size_t pattern, bool shifted_down) {
    const E8pTable& table = e8p_table();
    // Signs are found again for the few patterns that were chosen: to keep those of all 512 while
    // they are scored would cost more.
    const float shift = shifted_down ? -0.25F : 0.25F;
    std::uint32_t signs = 0;
    bool odd = table.packed[pattern] >> 31 != 0;
    std::size_t cheapest = 0;
    float least = std::numeric_limits<float>::max();
    for (std::size_t i = 0; i < e8_dim; ++i) {
        const float t = x[i] - shift;
        if (std::signbit(t)) {
            signs |= 1u << i;
            odd = !odd;
        }
        const float p = table.by_dimension[i * e8p_patterns + pattern] * std::abs(t);
        if (p < least) {
            least = p;
            cheapest = i;
        }
    }
    if (odd) signs ^= 1u << cheapest;
    return static_cast<std::uint16_t>(pattern | (signs & 0x7F) << 8 |
                                      (shifted_down ? 1u << 15 : 0u));
}

}  // namespace

const E8pTable& e8p_table() {
    static const E8pTable table = make_table();
    return table;
}

const Matrix& e8_short_vectors() {
    static const Matrix vectors = make_short_vectors();
    return vectors;
}

void e8p_decode(std::uint16_t code, float* point) {
    const std::uint32_t entry = e8p_table().packed[code & 0xFF];
    const float shift = code >> 15 != 0 ? -0.25F : 0.25F;
    std::uint32_t signs = code >> 8 & 0x7F;
    const bool odd = entry >> 31 != 0;
    if ((__builtin_popcount(signs) % 2 != 0) != odd) signs |= 0x80;
    for (std::uint32_t i = 0; i < e8_dim; ++i) {
        const float a = static_cast<float>(entry >> (4 * i) & 7) * 0.5F;
        point[i] = ((signs >> i & 1) != 0 ? -a : a) + shift;
    }
}

void e8p_nearest(const float* x, int count, std::uint16_t* codes, float* distances) {
    VQ_ASSERT(count >= 1 && count <= 2 * e8p_patterns);
    std::array<float, static_cast<std::size_t>(2 * e8p_patterns)> score;
    float squared[2] = {0, 0};
    for (Index half = 0; half < 2; ++half) {
        std::array<float, e8_dim> t;
        for (std::size_t i = 0; i < e8_dim; ++i) {
            t[i] = x[i] - (half == 0 ? 0.25F : -0.25F);
            // Scores lack |t|^2, which differs between the two shifts: only with it can they be
            // compared.
            squared[half] += t[i] * t[i];
        }
        score_patterns(t.data(), score.data() + half * e8p_patterns);
        for (int k = 0; k < e8p_patterns; ++k)
            score.data()[half * e8p_patterns + k] += squared[half];
    }
    const auto before = [&](int a, int b) {
        const float sa = score[static_cast<std::size_t>(a)];
        const float sb = score[static_cast<std::size_t>(b)];
        // Ties have an order of their own, so that codes do not depend on how a library sorts.
        if (sa != sb) return sa < sb;
        const int pa = a % e8p_patterns;
        const int pb = b % e8p_patterns;
        return pa != pb ? pa < pb : a < b;
    };
    std::array<int, static_cast<std::size_t>(2 * e8p_patterns)> order;
    if (count == 1) {
        // The common case, and the inner loop of quantization: a pass instead of a sort.
        int best = 0;
        for (int k = 1; k < 2 * e8p_patterns; ++k)
            if (before(k, best)) best = k;
        order[0] = best;
    } else {
        std::iota(order.begin(), order.end(), 0);
        std::partial_sort(order.begin(), order.begin() + count, order.end(), before);
    }
    for (int c = 0; c < count; ++c) {
        const int k = order[static_cast<std::size_t>(c)];
        codes[c] =
            with_best_signs(x, static_cast<std::size_t>(k % e8p_patterns), k >= e8p_patterns);
        distances[c] = score[static_cast<std::size_t>(k)];
    }
}

}  // namespace vq
