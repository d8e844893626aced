// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/table.h"

#include <algorithm>
#include <cmath>

#include "base/packed/packed_code.h"

namespace vq::decode {

namespace {

constexpr Index least_rows_an_item = 16;

/// All stages or none.
void round_stages(const SegmentRecord& r, const SegmentPlace& place, TableSegment& s) {
    if (s.dim < table_least_dim || s.dim > table_most_dim) return;
    bool fit = true;
    for (int m = 0; m < s.stages; ++m) {
        s.vectors[m] = place.books.made<ByteCodebook>({r.codebook[m]}, [&] {
            return round_codebook(s.codebook[m], Index{1} << s.stage_bits[m], s.dim);
        });
        fit = fit && s.vectors[m]->fits;
    }
    if (!fit) std::fill_n(s.vectors, s.stages, nullptr);
}

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    const auto s = make_segment<TableSegment>(place);
    if (r.along_outputs > 1) fail_damaged("a code is out of range", place.where);
    read_stages(r, place, *s);
    if (s->bits > 57)  // codes are read as 8 bytes from any bit on
        fail_damaged("a code has more than 57 bits", place.where);
    s->along_outputs = r.along_outputs != 0;
    if ((s->along_outputs ? s->rows : s->cols) % s->dim != 0)
        fail_damaged("vectors do not fill the tensor", place.where);
    round_stages(r, place, *s);
    const Index height = s->along_outputs ? s->dim : 1;
    s->width = s->along_outputs ? 1 : s->dim;
    s->direct = s->vectors[0] != nullptr && place.tensor.scale_kind != ScaleKind::group;
    s->input_bytes = table_room(*s).end;
    s->rows_an_item = ceil_div(least_rows_an_item, height) * height;
    s->code_bytes = product_or_none(s->rows / height, table_row_bytes(*s), 1);
    return s;
}

/// `bits` bits of a stream from bit `at` on; may read up to 8 bytes.
std::uint64_t read_bits(const std::uint8_t* bytes, Index at, int bits) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at / 8, sizeof(word));
    return word >> (at % 8) & ((std::uint64_t{1} << bits) - 1);
}

void values(const Segment& any, Index row, Index first, Index count, float* out) {
    const TableSegment& s = table_segment(any);
    const Index band = s.along_outputs ? row / s.dim : row;
    const std::uint8_t* codes = table_codes(s, band);
    // Along outputs a code gives one value of this row, along inputs `dim` of them.
    const Index from = s.along_outputs ? row % s.dim : 0;
    const Index width = s.width;
    for (Index i = 0; i < count; ++i) {
        std::uint64_t code = read_bits(codes, (first + i) * s.bits, s.bits);
        for (int m = 0; m < s.stages; ++m) {
            const auto entry =
                static_cast<Index>(code & ((std::uint64_t{1} << s.stage_bits[m]) - 1));
            const float* word = s.codebook[m] + entry * s.dim + from;
            code >>= s.stage_bits[m];
            for (Index k = 0; k < width; ++k)
                out[i * width + k] = m == 0 ? word[k] : out[i * width + k] + word[k];
        }
    }
}

void band_rows(const TableSegment& s, const ByteActivations& x, Index row, Index count, float* y) {
    // A step of g shares a scale of the activations; sums of integers end with it.
    const Index width = s.along_outputs ? activation_group : table_block;
    const Index codes_a_row = s.along_outputs ? s.cols : s.groups();
    for (Index r = 0; r < count; ++r) {
        const std::uint8_t* codes = table_codes(s, row + r);
        for (Index g = 0; g * width < codes_a_row; ++g) {
            const Index end = codes_a_row < (g + 1) * width ? codes_a_row : (g + 1) * width;
            for (int m = 0; m < s.stages; ++m) {
                const std::uint8_t* words = s.vectors[m]->bytes.data();
                const float factor = x.scales[g] * s.vectors[m]->step;
                std::int32_t sums[table_most_dim] = {};
                for (Index i = g * width; i < end; ++i) {
                    const std::uint8_t* word = words + table_entry(s, codes, i, m) * 8;
                    // Beyond `dim` entries meet inputs that are zero, or sums that nobody reads.
                    for (int k = 0; k < 8; ++k)
                        sums[k] += word[k] * x.bytes[s.along_outputs ? i : 8 * i + k];
                }
                const std::int32_t bias = table_offset * x.sums[g];
                if (s.along_outputs) {
                    for (int k = 0; k < s.dim; ++k)
                        y[r * s.dim + k] += factor * static_cast<float>(sums[k] - bias);
                } else {
                    std::int32_t sum = 0;
                    for (const std::int32_t v : sums) sum += v;
                    y[r] += factor * static_cast<float>(sum - bias);
                }
            }
        }
    }
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index count,
          float* y) {
    const TableSegment& s = table_segment(any);
    const Index height = s.along_outputs ? s.dim : 1;
    band_rows(s, activations_in(inputs, table_room(s)), row / height, count / height, y);
}

constexpr CodeKernels reference = {table_inputs, rows, nullptr};

}  // namespace

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
    // Against the median and not the mean square: one large outlier makes the step coarse for all
    // and would, by its own size, hide that.
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

void table_inputs(const Kernels& shared, const Segment& any, const float* x, Index /*item*/,
                  void* inputs) {
    const TableSegment& s = table_segment(any);
    const ByteBuffers to = buffers_in(inputs, table_room(s));
    if (s.along_outputs)
        shared.quantize(x, s.cols, to);
    else
        quantize_vectors(x, s.groups(), s.dim, to);
}

const PackedCode table_code = {
    .kind = table_kind,
    .name = "table",
    .tile_rows = 1,
    .read = read,
    .check_codes = nullptr,
    .values = values,
    .block = nullptr,
    .kernels = {&reference, &table_kernels_avx2, &table_kernels_avx512vnni},
};

}  // namespace vq::decode
