// SPDX-License-Identifier: Apache-2.0
// The trellis kernel: lanes are output rows, so that nothing is summed across lanes. A chunk of 32
// rows and two columns takes one vpermb (to each qword the bytes of 4 rows and 2 columns), two
// vpmultishiftqb (the 16-bit states of 2 rows and 2 columns a qword), the 16-bit multiplies of the
// code, and vpdpbusd of their bytes with the activations, each repeated for the bytes of its
// column.

#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "lattice/trellis/trellis.h"

namespace vq::decode {

namespace {

/// Which bytes go where; depends on K alone.
struct Shuffles {
    __m512i bytes;      ///< vpermb
    __m512i states[2];  ///< vpmultishiftqb: rows 4q, 4q + 1 and 4q + 2, 4q + 3 of qword q

    explicit Shuffles(int k) {
        alignas(64) std::uint8_t from[64];
        alignas(64) std::uint8_t shift[2][64];
        const int chunk = 4 * k;  // bytes of a column
        for (int q = 0; q < 8; ++q) {
            const int bit = 4 * q * k;
            for (int i = 0; i < 8; ++i) {
                const int column = i / 4;
                const int at = bit / 8 + i % 4;
                from[8 * q + i] = static_cast<std::uint8_t>(
                    at < chunk ? column * chunk + at : (2 + column) * chunk + at - chunk);
                for (int half = 0; half < 2; ++half) {
                    const int row = 2 * half + i / 4;
                    const int twin = i / 2 % 2;  // column of the pair
                    shift[half][8 * q + i] =
                        static_cast<std::uint8_t>(32 * twin + bit % 8 + row * k + 8 * (i % 2));
                }
            }
        }
        bytes = _mm512_load_si512(from);
        for (int half = 0; half < 2; ++half) states[half] = _mm512_load_si512(shift[half]);
    }
};

/// The two 16-bit words of a state: C s mod 2^32 from 16-bit multiplies.
struct ByteSum {
    __m512i low, high;
    explicit ByteSum(const TrellisSegment& s)
        : low(_mm512_set1_epi16(static_cast<short>(s.multiplier & 0xFFFFu))),
          high(_mm512_set1_epi16(static_cast<short>(s.multiplier >> 16))) {}
    __m512i first(__m512i state) const { return _mm512_mullo_epi16(state, low); }
    __m512i second(__m512i state) const {
        return _mm512_add_epi16(_mm512_mulhi_epu16(state, low), _mm512_mullo_epi16(state, high));
    }
};

/// The same where both halves of C are one number.
struct ByteSumTwice {
    __m512i half;
    explicit ByteSumTwice(const TrellisSegment& s)
        : half(_mm512_set1_epi16(static_cast<short>(s.multiplier & 0xFFFFu))) {}
    __m512i first(__m512i state) const { return _mm512_mullo_epi16(state, half); }
    __m512i second(__m512i state) const {
        return _mm512_add_epi16(_mm512_mulhi_epu16(state, half), first(state));
    }
};

/// `Chunks` chunks from chunk `c0` on, over the pairs [begin, end) of one group of activations:
/// they share a broadcast of activations; the sums of 4 are 8 registers.
template <int Chunks, bool Wraps, class Value>
void strip(const TrellisSegment& s, const Value& value, const Shuffles& shuffles,
           const std::uint8_t* codes, const ByteActivations& x, Index begin, Index end, Index c0,
           std::int32_t bias, float scale, float* y) {
    const Index pair_bytes = trellis_pair_bytes(s);
    const Index chunk_bytes = 8 * s.bits;
    const __mmask64 wrapped = ~__mmask64{0} << chunk_bytes;
    __m512i sum[std::size_t{2 * Chunks}];
    for (__m512i& v : sum) v = _mm512_setzero_si512();
    for (Index p = begin; p < end; ++p) {
        const std::uint8_t* first = codes + (p - begin) * pair_bytes;
        const std::uint8_t* at = first + c0 * chunk_bytes;
        const __m512i q = _mm512_set1_epi32(static_cast<int>(x.pairs[p]));
        if (c0 == 0) prefetch_after(first, pair_bytes);
        for (int c = 0; c < Chunks; ++c) {
            __m512i bytes = _mm512_loadu_si512(at + c * chunk_bytes);
            if (Wraps && c == Chunks - 1)  // after the last chunk comes the first
                bytes = _mm512_mask_loadu_epi8(bytes, wrapped, first - chunk_bytes);
            const __m512i spread = _mm512_permutexvar_epi8(shuffles.bytes, bytes);
            for (int half = 0; half < 2; ++half) {
                const __m512i state = _mm512_multishift_epi64_epi8(shuffles.states[half], spread);
                __m512i& to = sum[2 * c + half];
                to = _mm512_dpbusd_epi32(to, value.first(state), q);
                to = _mm512_dpbusd_epi32(to, value.second(state), q);
            }
        }
    }
    const __m512i low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    for (int c = 0; c < Chunks; ++c)
        for (int half = 0; half < 2; ++half) {
            const __m512i in_order =
                _mm512_permutex2var_epi64(sum[2 * c], half == 0 ? low : high, sum[2 * c + 1]);
            const __m512 v =
                _mm512_cvtepi32_ps(_mm512_add_epi32(in_order, _mm512_set1_epi32(bias)));
            float* to = y + (c0 + c) * trellis_chunk + 16 * half;
            _mm512_storeu_ps(
                to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_mul_ps(_mm512_set1_ps(scale), v)));
        }
}

template <class Value>
void rows_of(const TrellisSegment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index pairs_a_group = activation_group / 2;
    const Shuffles shuffles(s.bits);
    const Value value(s);
    const Index pairs = trellis_pairs(s);
    const Index chunks = s.tile_rows / trellis_chunk;
    for (Index g = 0; g * pairs_a_group < pairs; ++g) {
        const Index begin = g * pairs_a_group;
        const Index end = pairs < begin + pairs_a_group ? pairs : begin + pairs_a_group;
        const std::uint8_t* codes = trellis_codes(s, tile, begin);
        const std::int32_t bias = -byte_sum_mean * x.sums[g];
        const auto run = [&]<int Chunks, bool Wraps>(Index c0) {
            strip<Chunks, Wraps>(s, value, shuffles, codes, x, begin, end, c0, bias, x.scales[g],
                                 y);
        };
        Index c = 0;
        for (; chunks - c > 4; c += 4) run.template operator()<4, false>(c);
        switch (chunks - c) {
            case 1: run.template operator()<1, true>(c); break;
            case 2: run.template operator()<2, true>(c); break;
            case 3: run.template operator()<3, true>(c); break;
            default: run.template operator()<4, true>(c); break;
        }
    }
}

/// Calls f with the type of the values.
template <class F>
void with_value(const TrellisSegment& s, const F& f) {
    if (s.multiplier >> 16 == (s.multiplier & 0xFFFFu))
        f.template operator()<ByteSumTwice>();
    else
        f.template operator()<ByteSum>();
}

void tile_rows(const TrellisSegment& s, const ByteActivations& x, Index tile, float* y) {
    with_value(s, [&]<class Value>() { rows_of<Value>(s, x, tile, y); });
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    trellis_rows(trellis_segment(s), inputs, row, y, tile_rows);
}

// Panels for products with many vectors: sums of bytes by vpdpbusd with ones; lanes are rows, so
// that the largest value of every row and the rounding to it need no horizontal steps. The bits are
// those of decoding to floats and rounding.

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
void decode_chunk(const TrellisSegment& s, const Value& value, const Shuffles& shuffles, Index row,
                  Index first_pair, Index count, ChunkValues& out) {
    const Index chunk = row % s.tile_rows / trellis_chunk;
    const bool wraps = chunk == s.tile_rows / trellis_chunk - 1;
    const Index chunk_bytes = 8 * s.bits;
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
void panel_of(const TrellisSegment& s, Index row, Index rows, Index group, Index count,
              std::uint8_t* bytes, float* row_scales) {
    const Shuffles shuffles(s.bits);
    const Value value(s);
    for (Index r = 0; r < rows; r += trellis_chunk) {
        ChunkValues values;
        decode_chunk(s, value, shuffles, row + r, group * (activation_group / 2), count, values);
        round_chunk(values, s.gain, count, bytes + 4 * r, row_scales + r);
    }
}

PanelWeights panel(const Tensor& /*t*/, const Segment& any, Index row, Index count, Index col,
                   Index cols, PanelRoom& room) {
    const TrellisSegment& s = trellis_segment(any);
    if (count < panel_rows) {  // the last
        for (float& scale : room.row_scales) scale = 0;
        __builtin_memset(room.bytes, panel_offset, sizeof(room.bytes));
    }
    with_value(s, [&]<class Value>() {
        panel_of<Value>(s, row, count, col / activation_group, cols, room.bytes, room.row_scales);
    });
    return {room.bytes, room.row_scales};
}

}  // namespace

const CodeKernels trellis_kernels_avx512vnni = {byte_inputs, rows, panel};

}  // namespace vq::decode
