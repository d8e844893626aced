// The trellis kernel: lanes are output rows, so that nothing is summed across lanes. A chunk of 32
// rows and two columns takes one vpermb (to each qword the bytes of 4 rows and 2 columns), two
// vpmultishiftqb (the 16-bit states of 2 rows and 2 columns a qword), the 16-bit multiplies of the
// code, and vpdpbusd of their bytes with the activations, each repeated for the bytes of its
// column. Included by kernels_avx512vnni.cpp alone.
#pragma once

#include <immintrin.h>

#include "base/packed/activation.h"
#include "base/packed/prefetch.h"
#include "lattice/trellis/trellis.h"

namespace vq::decode::trellis_kernel {

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
    explicit ByteSum(const Segment& s)
        : low(_mm512_set1_epi16(static_cast<short>(s.multiplier[0] & 0xFFFFu))),
          high(_mm512_set1_epi16(static_cast<short>(s.multiplier[0] >> 16))) {}
    __m512i first(__m512i state) const { return _mm512_mullo_epi16(state, low); }
    __m512i second(__m512i state) const {
        return _mm512_add_epi16(_mm512_mulhi_epu16(state, low), _mm512_mullo_epi16(state, high));
    }
};

/// The same where both halves of C are one number.
struct ByteSumTwice {
    __m512i half;
    explicit ByteSumTwice(const Segment& s)
        : half(_mm512_set1_epi16(static_cast<short>(s.multiplier[0] & 0xFFFFu))) {}
    __m512i first(__m512i state) const { return _mm512_mullo_epi16(state, half); }
    __m512i second(__m512i state) const {
        return _mm512_add_epi16(_mm512_mulhi_epu16(state, half), first(state));
    }
};

template <bool Add0, bool Add1>
struct TwoProducts {
    __m512i c0, c1, d0, d1;
    explicit TwoProducts(const Segment& s)
        : c0(_mm512_set1_epi16(static_cast<short>(s.multiplier[0]))),
          c1(_mm512_set1_epi16(static_cast<short>(s.multiplier[1]))),
          d0(_mm512_set1_epi16(static_cast<short>(s.addend[0]))),
          d1(_mm512_set1_epi16(static_cast<short>(s.addend[1]))) {}
    __m512i first(__m512i state) const {
        const __m512i p = _mm512_mullo_epi16(state, c0);
        return Add0 ? _mm512_add_epi16(p, d0) : p;
    }
    __m512i second(__m512i state) const {
        const __m512i p = _mm512_mullo_epi16(state, c1);
        return Add1 ? _mm512_add_epi16(p, d1) : p;
    }
};

/// `Chunks` chunks from chunk `c0` on, over the pairs [begin, end) of one group of activations.
template <int Chunks, bool Wraps, class Value>
void strip(const Segment& s, const Value& value, const Shuffles& shuffles,
           const std::uint8_t* codes, const ByteActivations& x, Index begin, Index end, Index c0,
           std::int32_t bias, float scale, float* y) {
    const Index pair_bytes = trellis_pair_bytes(s);
    const Index chunk_bytes = 8 * s.trellis_bits;
    const __mmask64 wrapped = ~__mmask64{0} << chunk_bytes;
    __m512i sum[2 * Chunks];
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
void rows_of(const Segment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index pairs_a_group = activation_group / 2;
    const Shuffles shuffles(s.trellis_bits);
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
void with_value(const Segment& s, const F& f) {
    if (s.trellis_value == TrellisValue::byte_sum &&
        s.multiplier[0] >> 16 == (s.multiplier[0] & 0xFFFFu))
        f.template operator()<ByteSumTwice>();
    else if (s.trellis_value == TrellisValue::byte_sum)
        f.template operator()<ByteSum>();
    else if (s.addend[0] == 0 && s.addend[1] == 0)
        f.template operator()<TwoProducts<false, false>>();
    else if (s.addend[0] == 0)
        f.template operator()<TwoProducts<false, true>>();
    else if (s.addend[1] == 0)
        f.template operator()<TwoProducts<true, false>>();
    else
        f.template operator()<TwoProducts<true, true>>();
}

void rows(const Segment& s, const ByteActivations& x, Index tile, float* y) {
    with_value(s, [&]<class Value>() { rows_of<Value>(s, x, tile, y); });
}

}  // namespace

}  // namespace vq::decode::trellis_kernel
