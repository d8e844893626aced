// SPDX-License-Identifier: Apache-2.0
#include "model/random_packed.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "decode/vqkit_decode.hpp"

namespace vq {
namespace {

/// The layout that a row of `vq bench kernels` is about, by its name.
std::string layout_of(const std::string& name) {
    if (name.starts_with("scalar")) return "grid";
    if (name.starts_with("kmeans")) return "table";
    return name.substr(0, name.find('-'));
}

TEST(RandomPacked, EveryNameIsAFileInTheLayoutThatItNames) {
    for (const std::string& name : random_code_names()) {
        PackedBuffer buffer;
        random_packed(name, 70, 131, 2, 9, buffer.sink());
        const vqd::File file(buffer.data(), buffer.size());
        ASSERT_EQ(file.size(), 2U) << name;
        for (std::size_t i = 0; i < 2; ++i) {
            EXPECT_EQ(file.info(i).code, layout_of(name)) << name;
            EXPECT_EQ(file.info(i).rows, 70);
            EXPECT_EQ(file.info(i).cols, 131);
        }
        Matrix w(70, 131);
        vqd::Decoder(file).dequantize_rows(1, 0, 70, w.data());
        EXPECT_TRUE(w.allFinite()) << name;
        EXPECT_GT(w.norm(), 0) << name;
    }
}

TEST(RandomPacked, UnknownNamesAreRefusedWithTheKnownOnes) {
    PackedBuffer buffer;
    try {
        random_packed("none", 8, 8, 1, 0, buffer.sink());
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("lut-2x8"), std::string::npos);
    }
}

}  // namespace
}  // namespace vq
