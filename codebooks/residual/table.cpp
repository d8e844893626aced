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

void quantize_vectors(const float* x, Index vectors, int dim, const ByteBuffers& out) {
    std::fill_n(out.bytes, ceil_div(vectors, table_block) * table_block * table_most_dim,
                std::int8_t{0});
    for (Index begin = 0, g = 0; begin < vectors; begin += table_block, ++g) {
        const Index end = std::min(vectors, begin + table_block);
        float most = 0;
        for (Index i = begin * dim; i < end * dim; ++i) most = std::max(most, std::fabs(x[i]));
        const float inverse = most > 0 ? 127.0F / most : 0;
        std::int32_t sum = 0;
        for (Index v = begin; v < end; ++v)
            for (int k = 0; k < dim; ++k) {
                const std::int32_t q = round_to_int(x[v * dim + k] * inverse);
                out.bytes[v * table_most_dim + k] = static_cast<std::int8_t>(q);
                sum += q;
            }
        out.scales[g] = most / 127.0F;
        out.sums[g] = sum;
    }
}

}  // namespace vq::decode
