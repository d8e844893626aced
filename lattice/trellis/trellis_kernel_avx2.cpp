// SPDX-License-Identifier: Apache-2.0
// The trellis kernel for AVX2: a chunk of 32 rows and two columns at a time, lanes are output rows.
// A 32-bit lane takes the bytes that hold the states of 4 rows of a column (4K bits apart, K bits a
// row: at most 32 bits together); a shift a column and a blend bring the 16-bit states of one row
// and both columns into a lane, where 16-bit multiplies, sums of bytes and vpmaddwd do the rest.
// About 11 instructions for 16 weights.

#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "lattice/trellis/trellis.h"

namespace vq::decode {

namespace {

__m256i all_lanes(std::uint32_t v) {
    return _mm256_set1_epi16(static_cast<short>(v));
}

/// The two 16-bit words of a state: C s mod 2^32 from 16-bit multiplies.
struct ByteSum {
    __m256i low, high;
    explicit ByteSum(const TrellisSegment& s)
        : low(all_lanes(s.multiplier)), high(all_lanes(s.multiplier >> 16)) {}
    __m256i first(__m256i state) const { return _mm256_mullo_epi16(state, low); }
    __m256i second(__m256i state, __m256i /*first*/) const {
        return _mm256_add_epi16(_mm256_mulhi_epu16(state, low), _mm256_mullo_epi16(state, high));
    }
};

/// The same where both halves of C are one number.
struct ByteSumTwice {
    __m256i half;
    explicit ByteSumTwice(const TrellisSegment& s) : half(all_lanes(s.multiplier)) {}
    __m256i first(__m256i state) const { return _mm256_mullo_epi16(state, half); }
    __m256i second(__m256i state, __m256i first) const {
        return _mm256_add_epi16(_mm256_mulhi_epu16(state, half), first);
    }
};

/// States of 32 rows of a column: lane q has those of rows 4q to 4q + 3, the first from bit
/// (4 K q) % 8 on.
template <int K>
class Window {
public:
    Window() {
        alignas(32) std::uint8_t from[32];
        for (int q = 0; q < 8; ++q)
            for (int k = 0; k < 4; ++k)  // the upper half begins 2K bytes further on
                from[4 * q + k] = static_cast<std::uint8_t>(K * (q % 4) / 2 + k);
        bytes_ = _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
        start_ = K % 2 == 0 ? _mm256_setzero_si256() : _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
    }

    /// codes: the 4K bytes of the chunk, next: those that follow it. What lies 2K bytes before
    /// `next` and 16 bytes after both is read too.
    __m256i operator()(const std::uint8_t* codes, const std::uint8_t* next) const {
        const __m128i upper =
            _mm_blend_epi16(load(codes + 2 * K), load(next - 2 * K), 0xFF & (0xFF << K));
        return _mm256_shuffle_epi8(
            _mm256_inserti128_si256(_mm256_castsi128_si256(load(codes)), upper, 1), bytes_);
    }

    /// Row i of every lane: the state of the first column low, of the second high.
    template <int I>
    __m256i states(__m256i first, __m256i second) const {
        constexpr int high = 0xAA;
        if constexpr (K % 2 == 0)
            return _mm256_blend_epi16(_mm256_srli_epi32(first, K * I),
                                      _mm256_slli_epi32(second, 16 - K * I), high);
        const __m256i by = _mm256_add_epi32(start_, _mm256_set1_epi32(K * I));
        return _mm256_blend_epi16(
            _mm256_srlv_epi32(first, by),
            _mm256_sllv_epi32(second, _mm256_sub_epi32(_mm256_set1_epi32(16), by)), high);
    }

private:
    static __m128i load(const std::uint8_t* at) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    }
    __m256i bytes_;
    __m256i start_;
};

/// y[4q + i] += scale * (sum[i] + bias) in lane q.
void add_rows(const __m256i (&sum)[4], std::int32_t bias, float scale, float* y) {
    __m256 v[4];
    for (int i = 0; i < 4; ++i)
        v[i] = _mm256_mul_ps(_mm256_set1_ps(scale),
                             _mm256_cvtepi32_ps(_mm256_add_epi32(sum[i], _mm256_set1_epi32(bias))));
    const auto pairs = [](__m256 a, __m256 b, bool upper) {
        return _mm256_castps_pd(upper ? _mm256_unpackhi_ps(a, b) : _mm256_unpacklo_ps(a, b));
    };
    __m256 lane[4];  // of q and of q + 4
    for (int half = 0; half < 2; ++half) {
        const __m256d low = pairs(v[0], v[1], half == 1);
        const __m256d high = pairs(v[2], v[3], half == 1);
        lane[2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
        lane[2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
    }
    const auto add = [&](int row, __m256 values) {
        _mm256_storeu_ps(y + row, _mm256_add_ps(_mm256_loadu_ps(y + row), values));
    };
    add(0, _mm256_permute2f128_ps(lane[0], lane[1], 0x20));
    add(8, _mm256_permute2f128_ps(lane[2], lane[3], 0x20));
    add(16, _mm256_permute2f128_ps(lane[0], lane[1], 0x31));
    add(24, _mm256_permute2f128_ps(lane[2], lane[3], 0x31));
}

template <int K, class Value>
void rows_of(const TrellisSegment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index pairs_a_group = activation_group / 2;
    constexpr Index column_bytes = 4 * K;  // of a chunk
    const Window<K> window;
    const Value value(s);
    const __m256i ones = _mm256_set1_epi8(1);
    const Index pairs = trellis_pairs(s);
    const Index pair_bytes = trellis_pair_bytes(s);
    const Index chunks = s.tile_rows / trellis_chunk;
    for (Index g = 0; g * pairs_a_group < pairs; ++g) {
        const Index begin = g * pairs_a_group;
        const Index count = pairs - begin < pairs_a_group ? pairs - begin : pairs_a_group;
        std::int32_t q[pairs_a_group];  // two 16-bit activations
        for (Index p = 0; p < count; ++p) {
            const std::uint32_t four = x.pairs[begin + p];
            const auto a = static_cast<std::int8_t>(four & 0xFFu);
            const auto b = static_cast<std::int8_t>(four >> 16 & 0xFFu);
            q[p] = (a & 0xFFFF) | b * 65536;
        }
        const std::uint8_t* codes = trellis_codes(s, tile, begin);
        const std::int32_t bias = -byte_sum_mean * x.sums[g];
        for (Index c = 0; c < chunks; ++c) {
            const Index here = c * 2 * column_bytes;
            const Index next = (c + 1 < chunks ? c + 1 : 0) * 2 * column_bytes;
            __m256i sum[4] = {};
            for (Index p = 0; p < count; ++p) {
                const std::uint8_t* pair = codes + p * pair_bytes;
                if (c == 0) prefetch_after(pair, pair_bytes);
                const __m256i first = window(pair + here, pair + next);
                const __m256i second =
                    window(pair + here + column_bytes, pair + next + column_bytes);
                const __m256i both = _mm256_set1_epi32(q[p]);
                const auto add = [&]<int I>() {
                    const __m256i state = window.template states<I>(first, second);
                    const __m256i a = value.first(state);
                    const __m256i b = value.second(state, a);
                    const __m256i bytes = _mm256_add_epi16(_mm256_maddubs_epi16(a, ones),
                                                           _mm256_maddubs_epi16(b, ones));
                    sum[I] = _mm256_add_epi32(sum[I], _mm256_madd_epi16(bytes, both));
                };
                add.template operator()<0>();
                add.template operator()<1>();
                add.template operator()<2>();
                add.template operator()<3>();
            }
            add_rows(sum, bias, x.scales[g], y + c * trellis_chunk);
        }
    }
}

template <class Value>
void rows_with(const TrellisSegment& s, const ByteActivations& x, Index tile, float* y) {
    switch (s.bits) {
        case 1: rows_of<1, Value>(s, x, tile, y); break;
        case 2: rows_of<2, Value>(s, x, tile, y); break;
        case 3: rows_of<3, Value>(s, x, tile, y); break;
        default: rows_of<4, Value>(s, x, tile, y); break;
    }
}

void tile_rows(const TrellisSegment& s, const ByteActivations& x, Index tile, float* y) {
    if (s.multiplier >> 16 == (s.multiplier & 0xFFFFu))
        rows_with<ByteSumTwice>(s, x, tile, y);
    else
        rows_with<ByteSum>(s, x, tile, y);
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    trellis_rows(trellis_segment(s), inputs, row, y, tile_rows);
}

}  // namespace

const CodeKernels trellis_kernels_avx2 = {byte_inputs, rows, nullptr};

}  // namespace vq::decode
