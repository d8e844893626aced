// AVX2 with FMA. 256-entry tables do not fit its shuffles: lookups are scalar loads here, tables
// are built with vectors.
#include <immintrin.h>

#include <type_traits>

#include "base/packed/activation.h"
#include "base/packed/hadamard_kernel.h"
#include "base/packed/kernels.h"
#include "base/packed/panel_kernel_avx2.h"
#include "codebooks/bytes/byte_kernel_avx2.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table_kernel_avx2.h"
#include "codebooks/scalar/grid_kernel_avx2.h"
#include "decode/panel_codes.h"
#include "lattice/e8p/e8p_kernel_avx2.h"
#include "lattice/trellis/trellis_kernel_avx2.h"

namespace vq::decode {

namespace {

/// Dot products of 8 codewords with one group's activations.
__m256i products(const std::int16_t* words, const std::int16_t* x, int dim) {
    __m256i sum = _mm256_setzero_si256();
    for (int j = 0; j < dim; j += 2) {
        std::int32_t pair;
        __builtin_memcpy(&pair, x + j, sizeof(pair));
        const auto* from = reinterpret_cast<const __m256i*>(words + 16 * j);
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(_mm256_loadu_si256(from), _mm256_set1_epi32(pair)));
    }
    return sum;
}

void lut_tables(const Segment& s, const float* x, Index block, const LutTables& tables) {
    LutInputs in;
    quantize_lut_inputs(s, x, block, in);
    const Index codewords = lut_table_bytes(s);
    const auto words = [&](Index e) {  // 8 codewords from e on: half of a run of 16
        return s.lut->words.data() + e / 16 * 16 * s.dim + e % 16 * 2;
    };
    __m256i largest = _mm256_setzero_si256();
    for (Index g = 0; g < in.groups; ++g)
        for (Index e = 0; e < codewords; e += 8)
            largest = _mm256_max_epi32(
                largest, _mm256_abs_epi32(products(words(e), in.words + g * s.dim, s.dim)));
    alignas(32) std::int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), largest);
    std::int32_t most = 0;
    for (const std::int32_t v : lanes) most = v > most ? v : most;
    const __m256 inverse = _mm256_set1_ps(lut_inverse(most));
    std::uint8_t* out = tables.bytes + block * lut_block * codewords;
    for (Index g = 0; g < in.groups; ++g)
        for (Index e = 0; e < codewords; e += 8) {
            const __m256 t = _mm256_cvtepi32_ps(products(words(e), in.words + g * s.dim, s.dim));
            _mm256_store_si256(reinterpret_cast<__m256i*>(lanes),
                               _mm256_cvtps_epi32(_mm256_mul_ps(t, inverse)));
            for (const std::int32_t v : lanes) *out++ = static_cast<std::uint8_t>(v + 128);
        }
    tables.scales[block] = lut_scale(s, in, most);
}

void lut_rows(const Segment& s, Index padded_rows, const LutTables& tables, Index tile, Index count,
              float* y) {
    const Index tiles = padded_rows / lut_tile;
    for (Index b = 0; b < ceil_div(s.groups(), lut_block); ++b) {
        const Index groups = lut_groups(s, b);
        const auto bias = static_cast<std::int32_t>(128 * groups * s.stages);
        for (Index t = 0; t < count; ++t) {
            std::uint16_t sum[lut_tile] = {};  // by position
            const std::uint8_t* codes = s.codes + lut_offset(s, tiles, b, tile + t);
            const std::uint8_t* table = tables.bytes + b * lut_block * lut_table_bytes(s);
            for (Index g = 0; g < groups; ++g)
                for (int m = 0; m < s.stages; ++m) {
                    if (s.stage_bits[m] == lut_least_bits)
                        for (Index r = 0; r < lut_tile; ++r) sum[r] += table[codes[r]];
                    else
                        for (Index r = 0; r < lut_tile; ++r)
                            sum[lut_position(r)] += table[lut_code(codes, s.stage_bits[m], r)];
                    codes += lut_stage_bytes(s.stage_bits[m]);
                    table += Index{1} << s.stage_bits[m];
                }
            for (Index r = 0; r < lut_tile; ++r)
                y[t * lut_tile + r] +=
                    tables.scales[b] * static_cast<float>(sum[lut_position(r)] - bias);
        }
    }
}

float round_weights(const float* v, std::uint8_t* bytes) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    __m256 largest = _mm256_setzero_ps();
    for (Index j = 0; j < activation_group; j += 8)
        largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, _mm256_loadu_ps(v + j)));
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, largest);
    float most = 0;
    for (const float x : lanes) most = x > most ? x : most;
    const __m256 inverse = _mm256_set1_ps(most > 0 ? 127.0F / most : 0);
    alignas(32) std::int32_t words[8];
    for (Index j = 0; j < activation_group; j += 8) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(words),
                           _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(v + j), inverse)));
        for (Index k = 0; k < 8; ++k) bytes[j + k] = static_cast<std::uint8_t>(words[k] + 128);
    }
    return most / 127.0F;
}

/// For hadamard_kernel.h.
struct Lanes {
    static constexpr Index width = 8;
    __m256 v;

    static Lanes set(float x) { return {_mm256_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static void store(float* p, Lanes a) { _mm256_storeu_ps(p, a.v); }
    static Lanes add(Lanes a, Lanes b) { return {_mm256_add_ps(a.v, b.v)}; }
    static Lanes subtract(Lanes a, Lanes b) { return {_mm256_sub_ps(a.v, b.v)}; }
    static Lanes multiply(Lanes a, Lanes b) { return {_mm256_mul_ps(a.v, b.v)}; }
    static Lanes fmadd(Lanes a, Lanes b, Lanes c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    /// With its partner each lane becomes the sum, or the difference in the higher of the two.
    static Lanes butterflies(Lanes a) {
        const auto step = [](__m256 x, __m256 other, auto higher) {
            return _mm256_blend_ps(_mm256_add_ps(x, other), _mm256_sub_ps(other, x),
                                   decltype(higher)::value);
        };
        a.v = step(a.v, _mm256_permute_ps(a.v, 0xB1), std::integral_constant<int, 0xAA>());
        a.v = step(a.v, _mm256_permute_ps(a.v, 0x4E), std::integral_constant<int, 0xCC>());
        a.v = step(a.v, _mm256_permute2f128_ps(a.v, a.v, 1), std::integral_constant<int, 0xF0>());
        return a;
    }
};

void flip_signs(const std::uint64_t* signs, const float* x, Index n, float* out) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    Index i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i byte = _mm256_set1_epi32(static_cast<int>(signs[i / 64] >> i % 64 & 0xFFu));
        const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(byte, bit), bit);
        const __m256 minus = _mm256_castsi256_ps(_mm256_slli_epi32(set, 31));
        _mm256_storeu_ps(out + i, _mm256_xor_ps(_mm256_loadu_ps(x + i), minus));
    }
    for (; i < n; ++i) out[i] = (signs[i / 64] >> i % 64 & 1u) != 0 ? -x[i] : x[i];
}

struct Floats {
    static __m256 load(const float* p) { return _mm256_loadu_ps(p); }
    static float one(float x) { return x; }
};
struct Halves {
    static __m256 load(const Half* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static float one(Half x) { return _cvtsh_ss(x); }
};
struct BFloats {
    static __m256 load(const BFloat16* p) {
        const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
    static float one(BFloat16 x) {
        return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(x << 16)));
    }
};

template <class A, class T>
float dot_of(const T* a, const float* b, Index n) {
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    Index i = 0;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 4; ++k)
            sum[k] =
                _mm256_fmadd_ps(A::load(a + i + 8 * k), _mm256_loadu_ps(b + i + 8 * k), sum[k]);
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes,
                    _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
    float total = 0;
    for (const float v : lanes) total += v;
    for (; i < n; ++i) total += A::one(a[i]) * b[i];
    return total;
}

void code_panel(const Segment& s, Index tile, Index group, Index quads, std::uint8_t* bytes) {
    if (s.code == CodeKind::grid)
        grid_kernel_avx2::panel(s, tile, group, quads, bytes);
    else
        code_panel_plain(s, tile, group, quads, bytes);
}

}  // namespace

const Kernels kernels_avx2 = {"avx2",
                              hadamard_kernel::block<Lanes>,
                              flip_signs,
                              quantize_activations,
                              lut_tables,
                              lut_rows,
                              trellis_kernel_avx2::rows,
                              e8p_kernel_avx2::rows,
                              grid_kernel_avx2::rows,
                              byte_kernel_avx2::rows,
                              table_kernel_avx2::rows,
                              panel_kernel_avx2::panel,
                              code_panel,
                              nullptr,
                              round_weights,
                              dot_of<Floats>,
                              dot_of<Halves>,
                              dot_of<BFloats>};

}  // namespace vq::decode
