// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p_patterns.h"

#include <algorithm>
#include <numeric>

namespace vq {

namespace {

constexpr std::size_t dim = 8;
using Vector8 = std::array<int, dim>;

/// Calls f(v) for all v in values^8, the last coordinate running fastest.
template <std::size_t N, class F>
void for_each_vector(const std::array<int, N>& values, const F& f) {
    std::array<std::size_t, dim> at{};
    for (;;) {
        Vector8 v{};
        for (std::size_t i = 0; i < dim; ++i) v[i] = values[at[i]];
        f(v);
        std::size_t i = dim;
        while (i > 0 && ++at[i - 1] == N) at[--i] = 0;
        if (i == 0) return;
    }
}

E8pPatterns make() {
    E8pPatterns out{};
    std::size_t n = 0;
    // In halves all is integer, so that no rounding decides which points belong.
    for_each_vector(std::array{1, 3, 5}, [&](const Vector8& v) {
        if (std::inner_product(v.begin(), v.end(), v.begin(), 0) <= 4 * 10) out.twice_abs[n++] = v;
    });
    for_each_vector(std::array{1, 3}, [&](const Vector8& v) {
        // Five times 3/2, three times 1/2. There are 56 such vectors and room for 29: which of them
        // is free, but what is stored fixes it.
        const bool norm_12 = std::count(v.begin(), v.end(), 3) == 5;
        if (norm_12 && n < out.twice_abs.size()) out.twice_abs[n++] = v;
    });
    // Each sign moves the sum, half of the table's integers, by an odd number.
    for (std::size_t k = 0; k < out.odd.size(); ++k)
        out.odd[k] =
            std::accumulate(out.twice_abs[k].begin(), out.twice_abs[k].end(), 0) / 2 % 2 != 0;
    n = 0;
    // The 112 + 128 shortest vectors of E8, +-1 in two places and +-1/2 in all eight; with twice
    // the unit vectors they are 256.
    for_each_vector(std::array{-2, 0, 2}, [&](const Vector8& v) {
        if (std::count(v.begin(), v.end(), 0) == dim - 2) out.twice_short[n++] = v;
    });
    for_each_vector(std::array{-1, 1}, [&](const Vector8& v) {
        if (std::accumulate(v.begin(), v.end(), 0) % 4 == 0) out.twice_short[n++] = v;
    });
    for (std::size_t i = 0; i < dim; ++i)
        for (const int value : {4, -4}) out.twice_short[n++][i] = value;
    return out;
}

}  // namespace

const E8pPatterns& e8p_integers() {
    static const E8pPatterns patterns = make();
    return patterns;
}

}  // namespace vq
