// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/ggml_dequant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace vq {
namespace {

std::vector<std::uint8_t> from_hex(const std::string& text) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
    return bytes;
}

struct Golden {
    std::string name;
    GgmlType type = GgmlType::f32;
    std::vector<std::uint8_t> blocks;
    std::vector<float> values;
};

GgmlType type_of_name(const std::string& name) {
    for (std::uint32_t id = 0; id < 64; ++id)
        if (ggml_type_info(id) != nullptr && name == ggml_type_info(id)->name)
            return static_cast<GgmlType>(id);
    ADD_FAILURE() << name << " is not readable";
    return GgmlType::f32;
}

std::vector<Golden> read_golden() {
    std::vector<Golden> list;
    std::ifstream in(std::string(VQKIT_TEST_DATA) + "/gguf/dequant_golden.txt");
    std::string name, blocks, values;
    while (in >> name >> blocks >> values) {
        Golden golden;
        golden.name = name;
        golden.type = type_of_name(name);
        golden.blocks = from_hex(blocks);
        const auto bytes = from_hex(values);
        golden.values.resize(bytes.size() / sizeof(float));
        std::memcpy(golden.values.data(), bytes.data(), bytes.size());
        list.push_back(golden);
    }
    return list;
}

TEST(GgmlDequant, EqualsThePublicPackageBitForBit) {
    const auto list = read_golden();
    std::set<GgmlType> readable;
    for (std::uint32_t id = 0; id < 64; ++id)
        if (ggml_type_info(id) != nullptr) readable.insert(static_cast<GgmlType>(id));
    for (const Golden& golden : list) readable.erase(golden.type);
    ASSERT_TRUE(readable.empty()) << "a line for every readable type";
    for (const Golden& golden : list) {
        ASSERT_STREQ(ggml_type_info(static_cast<std::uint32_t>(golden.type))->name,
                     golden.name.c_str());
        std::vector<float> out(golden.values.size(), NAN);
        // One byte further than aligned: files promise no alignment within a row.
        std::vector<std::uint8_t> shifted(golden.blocks.size() + 1);
        std::memcpy(shifted.data() + 1, golden.blocks.data(), golden.blocks.size());
        ggml_dequantize(golden.type, shifted.data() + 1, static_cast<std::int64_t>(out.size()),
                        out.data());
        for (std::size_t i = 0; i < out.size(); ++i)
            ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]),
                      std::bit_cast<std::uint32_t>(golden.values[i]))
                << golden.name << " weight " << i;
    }
}

TEST(GgmlDequant, EveryVectorOfACodebookEqualsThePublicPackage) {
    std::ifstream in(std::string(VQKIT_TEST_DATA) + "/gguf/dequant_grids.txt");
    std::string name, hex, expected;
    int lines = 0;
    for (; in >> name >> hex >> expected; ++lines) {
        const GgmlType type = type_of_name(name);
        const GgmlTypeInfo& info = *ggml_type_info(static_cast<std::uint32_t>(type));
        const auto blocks = from_hex(hex);
        std::vector<float> out(blocks.size() / static_cast<std::size_t>(info.block_bytes) * 256);
        ggml_dequantize(type, blocks.data(), static_cast<std::int64_t>(out.size()), out.data());
        std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
        for (std::size_t i = 0; i < out.size() * sizeof(float); ++i)
            hash = (hash ^ reinterpret_cast<const std::uint8_t*>(out.data())[i]) * 0x100000001B3u;
        EXPECT_EQ(hash, std::stoull(expected, nullptr, 16)) << name;
    }
    EXPECT_EQ(lines, 7);
}

TEST(GgmlDequant, BlockSizesAgreeWithGoldenBytes) {
    for (const Golden& golden : read_golden()) {
        const auto* info = ggml_type_info(static_cast<std::uint32_t>(golden.type));
        const auto blocks = static_cast<std::int64_t>(golden.blocks.size()) / info->block_bytes;
        EXPECT_EQ(blocks * info->block_bytes, static_cast<std::int64_t>(golden.blocks.size()));
        EXPECT_EQ(blocks * info->block_size, static_cast<std::int64_t>(golden.values.size()))
            << golden.name;
    }
}

TEST(GgmlDequant, ConversionOfManyHalvesCrossesBufferBounds) {
    std::vector<std::uint16_t> halves(10001);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
    std::vector<float> out(halves.size());
    ggml_dequantize(GgmlType::bf16, reinterpret_cast<const std::uint8_t*>(halves.data()),
                    static_cast<std::int64_t>(out.size()), out.data());
    for (std::size_t i = 0; i < out.size(); ++i)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), static_cast<std::uint32_t>(i) << 16);
}

TEST(GgmlDequant, NamesTypesThatItCannotRead) {
    EXPECT_EQ(ggml_type_info(40), nullptr);
    EXPECT_EQ(ggml_type_name(40), "NVFP4");
    EXPECT_EQ(ggml_type_name(9), "Q8_1");
    EXPECT_EQ(ggml_type_name(17), "IQ2_XS");
    EXPECT_EQ(ggml_type_name(12), "Q4_K");
    EXPECT_EQ(ggml_type_name(30), "BF16");
    EXPECT_EQ(ggml_type_name(4), "type 4");
    EXPECT_EQ(ggml_type_name(4000000000u), "type 4000000000");
}

TEST(GgmlDequant, PartOfABlockIsOurFault) {
    float out[32];
    const std::uint8_t block[18] = {};
    EXPECT_THROW(ggml_dequantize(GgmlType::q4_0, block, 31, out), InternalError);
}

}  // namespace
}  // namespace vq
