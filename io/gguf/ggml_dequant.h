// SPDX-License-Identifier: Apache-2.0
// The tensor types of GGUF files that vqkit reads, and their exact values. A row of a tensor is cut
// into blocks of 32 weights with a scale each, or of 256 with small scales per 16 or 32 inside.
#pragma once

#include <cstdint>
#include <string>

namespace vq {

/// Numbered as in GGUF files; the types that are not listed cannot be read.
enum class GgmlType : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q2_k = 10,
    q3_k = 11,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    iq2_xxs = 16,
    iq2_xs = 17,
    iq3_xxs = 18,
    iq1_s = 19,
    iq4_nl = 20,
    iq3_s = 21,
    iq2_s = 22,
    iq4_xs = 23,
    iq1_m = 29,
    bf16 = 30,
    tq1_0 = 34,
    tq2_0 = 35,
    mxfp4 = 39
};

struct GgmlTypeInfo {
    const char* name;         ///< "Q4_K"
    std::int64_t block_size;  ///< weights a block
    std::int64_t block_bytes;
};

/// nullptr for a type that cannot be read.
const GgmlTypeInfo* ggml_type_info(std::uint32_t type);
/// The name of any type number that ggml has given out ("IQ2_XS"), else "type N": for messages.
std::string ggml_type_name(std::uint32_t type);
/// "F32, F16, ... or MXFP4": for messages.
std::string readable_ggml_types();

/// Writes the `count` weights (a multiple of the block size) stored at `data` to `out`. Every value
/// is what the scale formulas give in fp32 without fused operations. Needs no alignment.
void ggml_dequantize(GgmlType type, const std::uint8_t* data, std::int64_t count, float* out);

}  // namespace vq
