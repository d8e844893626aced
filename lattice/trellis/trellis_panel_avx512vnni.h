// Trellis codes as panels for products with many vectors: sums of bytes by vpdpbusd with ones,
// lanes are rows, so that the largest value of every row and the rounding to it need no horizontal
// steps. The bits are those of decoding to floats and rounding. Included by kernels_avx512vnni.cpp
// alone.
#pragma once

#include <immintrin.h>

#include "base/packed/activation.h"
#include "lattice/trellis/trellis_kernel_avx512vnni.h"

namespace vq::decode::trellis_kernel {

namespace {

/// Rows of a chunk in the order of the states: [half] holds rows 4 q + 2 half, 4 q + 2 half + 1 of
/// qword q. This brings them into order.
__m512i in_order(int part, __m512i first, __m512i second) {
    const __m512i from = part == 0 ? _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11)
                                   : _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    return _mm512_permutex2var_epi64(first, from, second);
}

/// Values of one chunk of rows, in steps of the gain: [column][half][16 rows].
struct ChunkValues {
    alignas(64) std::int32_t values[activation_group][2][16];
    __m512i most[2];  ///< largest magnitudes of the rows
};

template <class Value>
void decode_chunk(const Segment& s, const Value& value, const Shuffles& shuffles, Index row,
                  Index first_pair, Index count, ChunkValues& out) {
    const Index chunk = row % s.tile_rows / trellis_chunk;
    const bool wraps = chunk == s.tile_rows / trellis_chunk - 1;
    const Index chunk_bytes = 8 * s.trellis_bits;
    const __mmask64 wrapped = ~__mmask64{0} << chunk_bytes;
    const __m512i mean = _mm512_set1_epi32(-byte_sum_mean);
    const __m512i ones[2] = {_mm512_set1_epi32(0x00000101), _mm512_set1_epi32(0x01010000)};
    out.most[0] = out.most[1] = _mm512_setzero_si512();
    const std::uint8_t* codes = trellis_codes(s, row / s.tile_rows, first_pair);
    for (Index j = 0; j < count; j += 2, codes += trellis_pair_bytes(s)) {
        __m512i bytes = _mm512_loadu_si512(codes + chunk * chunk_bytes);
        if (wraps) bytes = _mm512_mask_loadu_epi8(bytes, wrapped, codes - chunk_bytes);
        const __m512i spread = _mm512_permutexvar_epi8(shuffles.bytes, bytes);
        for (int half = 0; half < 2; ++half) {
            const __m512i state = _mm512_multishift_epi64_epi8(shuffles.states[half], spread);
            const __m512i first = value.first(state);
            const __m512i second = value.second(state);
            for (Index c = 0; c < 2 && j + c < count; ++c) {
                const __m512i sum =
                    _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(mean, first, ones[c]), second, ones[c]);
                _mm512_store_si512(out.values[j + c][half], sum);
                out.most[half] = _mm512_max_epi32(out.most[half], _mm512_abs_epi32(sum));
            }
        }
    }
    for (Index j = count; j < ceil_div(count, 4) * 4; ++j)
        for (auto& half : out.values[j]) _mm512_store_si512(half, _mm512_setzero_si512());
}

/// Rounds a chunk to bytes, quad by quad; `rows`: where its first row lies in the first quad.
void round_chunk(const ChunkValues& in, float gain, Index count, std::uint8_t* rows,
                 float* row_scales) {
    const __m512 steps = _mm512_set1_ps(gain);
    __m512 most[2];
    __m512 inverse[2];
    for (int half = 0; half < 2; ++half) {
        most[half] = _mm512_abs_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(in.most[half]), steps));
        inverse[half] =
            _mm512_maskz_div_ps(_mm512_cmp_ps_mask(most[half], _mm512_setzero_ps(), _CMP_GT_OQ),
                                _mm512_set1_ps(127.0F), most[half]);
    }
    for (int part = 0; part < 2; ++part)
        _mm512_storeu_ps(
            row_scales + 16 * part,
            _mm512_div_ps(_mm512_castsi512_ps(in_order(part, _mm512_castps_si512(most[0]),
                                                       _mm512_castps_si512(most[1]))),
                          _mm512_set1_ps(127.0F)));
    for (Index q = 0; 4 * q < count; ++q, rows += 4 * panel_rows) {
        __m512i quad[2];
        for (int half = 0; half < 2; ++half) {
            quad[half] = _mm512_setzero_si512();
            for (int k = 3; k >= 0; --k) {
                const __m512 v = _mm512_mul_ps(
                    _mm512_cvtepi32_ps(_mm512_load_si512(in.values[4 * q + k][half])), steps);
                const __m512i byte = _mm512_add_epi32(
                    _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse[half])), _mm512_set1_epi32(128));
                quad[half] = _mm512_or_si512(_mm512_slli_epi32(quad[half], 8), byte);
            }
        }
        for (int part = 0; part < 2; ++part)
            _mm512_storeu_si512(rows + 64 * part, in_order(part, quad[0], quad[1]));
    }
}

template <class Value>
void panel_of(const Segment& s, Index row, Index rows, Index group, Index count,
              std::uint8_t* bytes, float* row_scales) {
    const Shuffles shuffles(s.trellis_bits);
    const Value value(s);
    for (Index r = 0; r < rows; r += trellis_chunk) {
        ChunkValues values;
        decode_chunk(s, value, shuffles, row + r, group * (activation_group / 2), count, values);
        round_chunk(values, s.gain[0], count, bytes + 4 * r, row_scales + r);
    }
}

/// Rows beyond `rows` are left as they are.
void panel(const Segment& s, Index row, Index rows, Index group, Index count, std::uint8_t* bytes,
           float* row_scales) {
    with_value(
        s, [&]<class Value>() { panel_of<Value>(s, row, rows, group, count, bytes, row_scales); });
}

}  // namespace

}  // namespace vq::decode::trellis_kernel
