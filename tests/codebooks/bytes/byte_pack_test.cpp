// SPDX-License-Identifier: Apache-2.0
// Matrices as int8 with a scale for 32 values, through a packed file.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/codebooks/bytes/byte_case.h"
#include "tests/decode/packed_cases.h"

namespace vq {
namespace {

/// What a packed file makes of `values` (rows, cols).
Matrix through_file(const Matrix& values) {
    CodedView view;
    view.name = "w";
    view.rows = values.rows();
    view.cols = values.cols();
    const std::vector<std::uint64_t> codes = test::codes_of_bytes(values);
    view.segments = {{std::make_shared<ByteCode>(), (view.cols + 31) / 32 * 32, "", codes}};
    const auto packed = pack_bytes(view);
    PackedTensor t;
    t.name = "w";
    t.rows = values.rows();
    t.cols = values.cols();
    t.padded_rows = packed->padded_rows;
    t.padded_cols = values.cols();
    t.scales = {1.0F};
    t.segments = packed->segments;
    PackedBuffer buffer;
    PackedWriter writer(buffer.sink());
    writer.add_tensor(t);
    writer.finish();
    const vqd::File file(buffer.data(), buffer.size());
    EXPECT_STREQ(file.info(0).code, "bytes");
    Matrix out(values.rows(), values.cols());
    vqd::Decoder(file).dequantize_rows(0, 0, values.rows(), out.data());
    return out;
}

TEST(BytePack, ErrsByHalfAStepAtMost) {
    for (const auto& [rows, cols] : {std::pair<Index, Index>{3, 70}, {65, 31}, {64, 32}}) {
        const std::vector<float> x = test::activations(rows * cols, 3);
        Matrix w = Eigen::Map<const Matrix>(x.data(), rows, cols);
        w.row(0) *= 1e-4F;
        const Matrix got = through_file(w);
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < cols; ++j) {
                const Index first = j / 32 * 32;
                const float most = w.row(i)
                                       .segment(first, std::min<Index>(32, cols - first))
                                       .cwiseAbs()
                                       .maxCoeff();
                // Half a step, and what 127 steps lose where fp16 rounded the step down: 2^-11 of
                // the largest value, or half of the smallest fp16 number a step.
                EXPECT_LE(std::fabs(got(i, j) - w(i, j)),
                          most / 254 * 1.001F + most * 0x1p-11F + 127 * 0x1p-25F)
                    << i << " " << j;
            }
        EXPECT_GT((got - w).norm(), 0);
    }
}

TEST(BytePack, ZerosAndTinyValuesStayFinite) {
    Matrix w = Matrix::Zero(2, 64);
    w(1, 3) = 1e-30F;    // below any fp16 scale: zero
    w(1, 40) = 127e-7F;  // the scale is subnormal
    const Matrix got = through_file(w);
    EXPECT_TRUE(got.row(0).isZero(0));
    EXPECT_EQ(got(1, 3), 0);
    EXPECT_NEAR(got(1, 40), 127e-7F, 127 * 0x1p-25F);
    EXPECT_EQ((got.array() != 0).count(), 1);
}

}  // namespace
}  // namespace vq
