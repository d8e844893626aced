// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/ggml_dequant.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "io/gguf/ggml_blocks.h"

namespace vq {
namespace {

using ggml::Byte;

struct ReadableType {
    GgmlType type;
    GgmlTypeInfo info;
    void (*block)(const Byte*, float*);  ///< null: every weight stands alone
};

constexpr std::array readable_types{
    ReadableType{GgmlType::f32, {"F32", 1, 4}, nullptr},
    ReadableType{GgmlType::f16, {"F16", 1, 2}, nullptr},
    ReadableType{GgmlType::bf16, {"BF16", 1, 2}, nullptr},
    ReadableType{GgmlType::q4_0, {"Q4_0", 32, 18}, ggml::q4_0_block},
    ReadableType{GgmlType::q4_1, {"Q4_1", 32, 20}, ggml::q4_1_block},
    ReadableType{GgmlType::q5_0, {"Q5_0", 32, 22}, ggml::q5_0_block},
    ReadableType{GgmlType::q5_1, {"Q5_1", 32, 24}, ggml::q5_1_block},
    ReadableType{GgmlType::q8_0, {"Q8_0", 32, 34}, ggml::q8_0_block},
    ReadableType{GgmlType::q2_k, {"Q2_K", 256, 84}, ggml::q2_k_block},
    ReadableType{GgmlType::q3_k, {"Q3_K", 256, 110}, ggml::q3_k_block},
    ReadableType{GgmlType::q4_k, {"Q4_K", 256, 144}, ggml::q4_k_block},
    ReadableType{GgmlType::q5_k, {"Q5_K", 256, 176}, ggml::q5_k_block},
    ReadableType{GgmlType::q6_k, {"Q6_K", 256, 210}, ggml::q6_k_block},
    ReadableType{GgmlType::iq1_s, {"IQ1_S", 256, 50}, ggml::iq1_s_block},
    ReadableType{GgmlType::iq1_m, {"IQ1_M", 256, 56}, ggml::iq1_m_block},
    ReadableType{GgmlType::iq2_xxs, {"IQ2_XXS", 256, 66}, ggml::iq2_xxs_block},
    ReadableType{GgmlType::iq2_xs, {"IQ2_XS", 256, 74}, ggml::iq2_xs_block},
    ReadableType{GgmlType::iq2_s, {"IQ2_S", 256, 82}, ggml::iq2_s_block},
    ReadableType{GgmlType::iq3_xxs, {"IQ3_XXS", 256, 98}, ggml::iq3_xxs_block},
    ReadableType{GgmlType::iq3_s, {"IQ3_S", 256, 110}, ggml::iq3_s_block},
    ReadableType{GgmlType::iq4_nl, {"IQ4_NL", 32, 18}, ggml::iq4_nl_block},
    ReadableType{GgmlType::iq4_xs, {"IQ4_XS", 256, 136}, ggml::iq4_xs_block},
    ReadableType{GgmlType::tq1_0, {"TQ1_0", 256, 54}, ggml::tq1_0_block},
    ReadableType{GgmlType::tq2_0, {"TQ2_0", 256, 66}, ggml::tq2_0_block},
    ReadableType{GgmlType::mxfp4, {"MXFP4", 32, 17}, ggml::mxfp4_block},
};

// Indexed by type number; empty where a number was withdrawn.
constexpr std::array all_names{"F32",   "F16",   "Q4_0",    "Q4_1",   "",        "",      "Q5_0",
                               "Q5_1",  "Q8_0",  "Q8_1",    "Q2_K",   "Q3_K",    "Q4_K",  "Q5_K",
                               "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL",
                               "IQ3_S", "IQ2_S", "IQ4_XS",  "I8",     "I16",     "I32",   "I64",
                               "F64",   "IQ1_M", "BF16",    "",       "",        "",      "TQ1_0",
                               "TQ2_0", "",      "",        "",       "MXFP4",   "NVFP4", "Q1_0"};

const ReadableType* find_type(std::uint32_t type) {
    for (const ReadableType& readable : readable_types)
        if (static_cast<std::uint32_t>(readable.type) == type) return &readable;
    return nullptr;
}

void narrow_floats(GgmlType type, const Byte* data, std::int64_t count, float* out) {
    constexpr std::int64_t chunk = 4096;
    std::array<std::uint16_t, chunk> buffer;  // data may be unaligned
    for (std::int64_t at = 0; at < count; at += chunk) {
        const std::int64_t n = std::min(chunk, count - at);
        std::memcpy(buffer.data(), data + 2 * at, static_cast<std::size_t>(2 * n));
        if (type == GgmlType::f16)
            float_from_half(buffer.data(), n, out + at);
        else
            float_from_bf16(buffer.data(), n, out + at);
    }
}

}  // namespace

const GgmlTypeInfo* ggml_type_info(std::uint32_t type) {
    const ReadableType* readable = find_type(type);
    return readable == nullptr ? nullptr : &readable->info;
}

std::string ggml_type_name(std::uint32_t type) {
    if (type < all_names.size() && *all_names[type] != '\0') return all_names[type];
    return "type " + std::to_string(type);
}

std::string readable_ggml_types() {
    std::string names;
    for (const ReadableType& readable : readable_types) {
        if (!names.empty()) names += &readable == &readable_types.back() ? " or " : ", ";
        names += readable.info.name;
    }
    return names;
}

void ggml_dequantize(GgmlType type, const std::uint8_t* data, std::int64_t count, float* out) {
    const ReadableType* readable = find_type(static_cast<std::uint32_t>(type));
    VQ_ASSERT(readable != nullptr && count % readable->info.block_size == 0);
    const GgmlTypeInfo& info = readable->info;
    if (count == 0) return;
    if (type == GgmlType::f32) {
        std::memcpy(out, data, static_cast<std::size_t>(count) * sizeof(float));
    } else if (readable->block != nullptr) {
        for (std::int64_t i = 0; i < count / info.block_size; ++i)
            readable->block(data + i * info.block_bytes, out + i * info.block_size);
    } else {
        narrow_floats(type, data, count, out);
    }
}

}  // namespace vq
