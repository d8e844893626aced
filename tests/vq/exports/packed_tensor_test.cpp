// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/packed_tensor.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "codebooks/bytes/byte_code.h"
#include "codebooks/residual/residual_code.h"
#include "decode/vqkit_decode.hpp"
#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::gaussian;

/// A tensor (m, n) of one segment with these codes of `code`, encoded from Gaussian weights.
ParsedTensor encoded(const CodePtr& code, const std::string& shared, Index m, Index n) {
    Segment s;
    s.code = code;
    s.shared = shared;
    s.cols = (n + code->dim() - 1) / code->dim() * code->dim();
    ParsedTensor t;
    t.name = "layer.w";
    t.shape = {m, n};
    t.coded = CodedTensor(m, s.cols, Along::inputs, {}, {s});
    Matrix w = Matrix::Zero(m, s.cols);
    w.leftCols(n) = gaussian(m, n, 5);
    Matrix what(m, s.cols);
    t.coded.encode_block(0, m, 0, s.cols, w.data(), nullptr, what.data(), nullptr);
    return t;
}

Matrix through_file(const std::vector<PackedTensor>& tensors, std::size_t index) {
    PackedBuffer buffer;
    PackedWriter writer(buffer.sink());
    for (const PackedTensor& t : tensors) writer.add_tensor(t);
    writer.finish();
    const vqd::File file(buffer.data(), buffer.size());
    Matrix out(file.info(index).rows, file.info(index).cols);
    vqd::Decoder(file).dequantize_rows(index, 0, out.rows(), out.data());
    return out;
}

TEST(PackedTensor, BytesAreTheStoredWeightsAtAnyWidth) {
    for (const auto& [m, n] : {std::pair<Index, Index>{1, 1}, {65, 32}, {70, 131}}) {
        const ParsedTensor t = encoded(std::make_shared<ByteCode>(), "", m, n);
        const PackedTensor packed = packed_tensor(t);
        EXPECT_EQ(packed.padded_cols, n);  // what fills up the last group stays behind
        EXPECT_EQ(through_file({packed}, 0), decode_parsed(t));
    }
}

TEST(PackedTensor, CodebooksOfOneNameAreWrittenOnce) {
    const auto code = std::make_shared<ResidualCode>(
        std::vector<Matrix>{gaussian(256, 8, 1), gaussian(256, 8, 2)}, 1);
    const ParsedTensor t = encoded(code, "model", 70, 40);
    const PackedTensor packed = packed_tensor(t);
    const auto size = [](const std::vector<PackedTensor>& tensors) {
        PackedBuffer buffer;
        PackedWriter writer(buffer.sink());
        for (const PackedTensor& each : tensors) writer.add_tensor(each);
        return static_cast<Index>(writer.finish());
    };
    PackedTensor own = packed;
    own.segments[0].shared.clear();
    const Index words = 2 * 256 * 8 * 2;
    EXPECT_GE(size({own, own}) - size({packed, packed}), words);
    std::vector<PackedTensor> three = {own, packed, packed};
    three[1].name = "layer.v";
    three[2].name = "layer.u";
    EXPECT_EQ(through_file(three, 2), through_file(three, 0));
}

TEST(PackedTensor, WhatPackedFilesLackIsRefusedByName) {
    ParsedTensor t = encoded(std::make_shared<ByteCode>(), "", 4, 64);
    t.side.low_rank = {4, 64, std::vector<std::int8_t>(4), std::vector<std::int8_t>(64), {1.0F}};
    try {
        packed_tensor(t);
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("layer.w"), std::string::npos);
    }
    t = encoded(std::make_shared<ByteCode>(), "", 4, 64);
    TransformStep rotation{};
    rotation.kind = TransformStep::Kind::hadamard_in;
    t.transform = Transform({rotation, rotation});
    EXPECT_THROW(packed_tensor(t), Error);  // packed files have one rotation of inputs
}

}  // namespace
}  // namespace vq
