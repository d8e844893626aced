#include "codebooks/scalar/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace vq::decode {

GridTable round_grid(const float* values, int bits) {
    const int entries = 1 << bits;
    float largest = 0;
    for (int e = 0; e < entries; ++e) largest = std::max(largest, std::fabs(values[e]));
    GridTable best{};
    best.error = std::numeric_limits<double>::infinity();
    for (int most = 127; most >= 64; --most) {
        GridTable t{};
        t.step = largest / static_cast<float>(most);
        for (int e = 0; e < 64; ++e) {
            const float v = values[e % entries];
            // A step that underflows to zero has no multiples.
            const float q = t.step > 0 ? std::round(v / t.step) : 0;
            const int whole = static_cast<int>(std::clamp(q, -127.0F, 127.0F));
            t.bytes[e] = static_cast<std::uint8_t>(whole + grid_offset);
            const double off = static_cast<double>(v) - static_cast<double>(t.step) * whole;
            t.error += off * off / 64;
        }
        if (t.error < best.error) best = t;
    }
    return best;
}

bool grid_fits(const float* values, int bits) {
    std::vector<double> sorted(values, values + (Index{1} << bits));
    std::sort(sorted.begin(), sorted.end());
    std::vector<double> gaps;
    for (std::size_t i = 1; i < sorted.size(); ++i) gaps.push_back(sorted[i] - sorted[i - 1]);
    const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
    std::nth_element(gaps.begin(), middle, gaps.end());
    return round_grid(values, bits).error <= grid_tolerance * *middle * *middle / 12;
}

}  // namespace vq::decode
