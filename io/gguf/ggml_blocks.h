// SPDX-License-Identifier: Apache-2.0
// The blocks of GGUF's tensor types, a function each: stored bytes to weights in fp32. Inner to
// ggml_dequant; the layouts are documented in ggml (github.com/ggml-org/llama.cpp,
// ggml/src/ggml-common.h), bit by bit in each function here.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/half.h"

namespace vq::ggml {

using Byte = std::uint8_t;

inline float load_half(const Byte* at) {
    Half bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    return float_from_half(bits);
}

inline std::uint32_t load_u16(const Byte* at) {
    return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8;
}

inline std::uint32_t load_u32(const Byte* at) {
    return load_u16(at) | load_u16(at + 2) << 16;
}

// Each writes one block: 32 weights.
void q4_0_block(const Byte* block, float* out);
void q4_1_block(const Byte* block, float* out);
void q5_0_block(const Byte* block, float* out);
void q5_1_block(const Byte* block, float* out);
void q8_0_block(const Byte* block, float* out);
void iq4_nl_block(const Byte* block, float* out);
void mxfp4_block(const Byte* block, float* out);

// 256 weights, with small scales for parts of 16 or 32.
void q2_k_block(const Byte* block, float* out);
void q3_k_block(const Byte* block, float* out);
void q4_k_block(const Byte* block, float* out);
void q5_k_block(const Byte* block, float* out);
void q6_k_block(const Byte* block, float* out);
void iq4_xs_block(const Byte* block, float* out);

// 256 weights, every one of them -d, 0 or d.
void tq1_0_block(const Byte* block, float* out);
void tq2_0_block(const Byte* block, float* out);

// 256 weights in vectors of 4 or 8 out of a codebook (ggml_grids.h).
void iq1_s_block(const Byte* block, float* out);
void iq1_m_block(const Byte* block, float* out);
void iq2_xxs_block(const Byte* block, float* out);
void iq2_xs_block(const Byte* block, float* out);
void iq2_s_block(const Byte* block, float* out);
void iq3_xxs_block(const Byte* block, float* out);
void iq3_s_block(const Byte* block, float* out);

}  // namespace vq::ggml
