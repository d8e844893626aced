#include "codebooks/residual/table.h"

#include <algorithm>
#include <cmath>

namespace vq::decode {

ByteCodebook round_codebook(const float* values, Index entries, int dim) {
    ByteCodebook out;
    float largest = 0;
    for (Index i = 0; i < entries * dim; ++i) largest = std::max(largest, std::fabs(values[i]));
    out.step = largest / 127.0F;
    out.bytes.assign(static_cast<std::size_t>(entries) * table_most_dim,
                     static_cast<std::uint8_t>(table_offset));
    double error = 0;
    for (Index e = 0; e < entries; ++e)
        for (int k = 0; k < dim; ++k) {
            const float v = values[e * dim + k];
            // A step that underflows to zero has no multiples.
            const float q = out.step > 0 ? std::round(v / out.step) : 0;
            const int whole = static_cast<int>(std::clamp(q, -127.0F, 127.0F));
            out.bytes[static_cast<std::size_t>(e) * table_most_dim + static_cast<std::size_t>(k)] =
                static_cast<std::uint8_t>(whole + table_offset);
            const double off = static_cast<double>(v) - static_cast<double>(out.step) * whole;
            error += off * off;
        }
    std::vector<float> sizes(values, values + entries * dim);
    for (float& v : sizes) v = std::fabs(v);
    const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
    std::nth_element(sizes.begin(), middle, sizes.end());
    out.fits = error <= table_tolerance * *middle * *middle * static_cast<double>(sizes.size());
    return out;
}

}  // namespace vq::decode
