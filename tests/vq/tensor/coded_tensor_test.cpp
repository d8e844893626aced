// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/coded_tensor.h"

#include <gtest/gtest.h>

#include "codebooks/residual/residual_code.h"
#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::gaussian;

CodePtr random_code(int dim, std::vector<int> bits, std::uint64_t seed) {
    std::vector<Matrix> codebooks;
    for (const int b : bits) codebooks.push_back(gaussian(Index{1} << b, dim, seed++));
    return std::make_shared<ResidualCode>(std::move(codebooks), 4);
}

CodedTensor tensor_of(Index rows, Index cols, Along along, ScaleLayout layout, bool two_segments) {
    std::vector<Segment> segments;
    if (two_segments) segments.push_back({0, 8, random_code(4, {5}, 3), "", {}});
    const Index at = two_segments ? 8 : 0;
    segments.push_back({at, cols - at, random_code(2, {3, 2}, 5), "", {}});
    return {rows, cols, along, layout, std::move(segments)};
}

void draw_codes(CodedTensor& t) {
    std::uint64_t draws = 0;
    for (Segment& s : t.segments())
        for (Index i = 0; i < s.codes.count(); ++i) {
            const std::uint64_t code = random_bits(7, draws++) & ((1u << s.code->bits()) - 1);
            s.codes.write(i, 1, &code);
        }
}

const ScaleLayout layouts[] = {
    {ScaleLayout::Scope::tensor, 0}, {ScaleLayout::Scope::row, 0}, {ScaleLayout::Scope::group, 4}};

TEST(CodedTensor, DecodeEqualsWhatTheEncoderReported) {
    const Matrix w = gaussian(12, 24, 1);
    for (const Along along : {Along::inputs, Along::outputs})
        for (const ScaleLayout& layout : layouts)
            for (const bool two : {false, true}) {
                CodedTensor t = tensor_of(12, 24, along, layout, two);
                t.fit_scales(w);
                Matrix what(12, 24);
                for (Index c = 0; c < 24; c += 8) {
                    const Matrix target = w.middleCols(c, 8);
                    Matrix block(12, 8);
                    t.encode_block(0, 12, c, 8, target.data(), nullptr, block.data(), nullptr);
                    what.middleCols(c, 8) = block;
                }
                EXPECT_EQ(t.decode(), what);
                EXPECT_LT((w - what).squaredNorm(), w.squaredNorm());
            }
}

TEST(CodedTensor, AdjointIsTheTransposeOfDecode) {
    for (const Along along : {Along::inputs, Along::outputs})
        for (const ScaleLayout& layout : layouts)
            for (const bool two : {false, true}) {
                CodedTensor t = tensor_of(12, 24, along, layout, two);
                t.fit_scales(gaussian(12, 24, 1));
                draw_codes(t);
                std::vector<float> p = t.parameters();
                for (std::size_t j = 0; j < p.size(); ++j)
                    p[j] = static_cast<float>(random_normal(8, j));
                const Matrix g = gaussian(12, 24, 9);
                const double left = g.cast<double>()
                                        .cwiseProduct(t.decode_rows_with(p, 0, 12).cast<double>())
                                        .sum();
                const std::vector<double> a = t.adjoint(test::rows_of(g));
                double right = 0;
                for (std::size_t j = 0; j < p.size(); ++j) right += a[j] * p[j];
                EXPECT_NEAR(left, right, 1e-4 * (1 + std::abs(left)));
            }
}

TEST(CodedTensor, DecodeWithOwnParametersIsDecode) {
    CodedTensor t = tensor_of(12, 24, Along::inputs, layouts[1], true);
    draw_codes(t);
    EXPECT_LT((t.decode() - t.decode_rows_with(t.parameters(), 0, 12)).cwiseAbs().maxCoeff(),
              1e-6F);
}

TEST(CodedTensor, AnyRowsDecodeAlone) {
    for (const Along along : {Along::inputs, Along::outputs})
        for (const ScaleLayout& layout : layouts) {
            CodedTensor t = tensor_of(12, 24, along, layout, true);
            t.fit_scales(gaussian(12, 24, 1));
            draw_codes(t);
            const Matrix all = t.decode();
            for (Index row0 = 0; row0 < 12; ++row0)
                for (Index rows = 1; row0 + rows <= 12; ++rows)
                    EXPECT_EQ(t.decode_rows(row0, rows), Matrix(all.middleRows(row0, rows)));
        }
}

// Codes of a scalar grid take a byte a weight, however wide the words are that encoders work on.
TEST(CodedTensor, KeepsCodesInFewBytes) {
    EXPECT_EQ(tensor_of(12, 24, Along::inputs, layouts[0], false).segments()[0].codes.bytes(),
              12 * 12);
    std::vector<Segment> grid;
    grid.push_back({0, 24, random_code(1, {3}, 1), "", {}});
    const CodedTensor t(12, 24, Along::inputs, layouts[0], std::move(grid));
    EXPECT_EQ(t.segments()[0].codes.bytes(), 12 * 24);
}

TEST(CodedTensor, FittedScalesNormaliseEachRow) {
    Matrix w = gaussian(6, 64, 1);
    w.row(2) *= 100.0F;
    w.row(3).setZero();
    CodedTensor t = tensor_of(6, 64, Along::inputs, layouts[1], false);
    t.fit_scales(w);
    for (Index i = 0; i < 6; ++i) {
        EXPECT_GT(t.scale(i, 0), 0.0F);
        if (i != 3) {
            EXPECT_NEAR(w.row(i).norm() / 8.0F / t.scale(i, 0), 1.0F, 1e-3F);
        }
    }
}

}  // namespace
}  // namespace vq
