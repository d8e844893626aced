// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/scale_search.h"

#include <gtest/gtest.h>

#include <cmath>

#include "codebooks/residual/scalar_grid.h"
#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::gaussian;

const ScaleLayout layouts[] = {
    {ScaleLayout::Scope::tensor, 0}, {ScaleLayout::Scope::row, 0}, {ScaleLayout::Scope::group, 16}};

CodedTensor tensor_of(const Matrix& w, const ScaleLayout& layout, CodePtr code) {
    CodedTensor t(w.rows(), w.cols(), Along::inputs, layout,
                  {{0, w.cols(), std::move(code), "", {}}});
    t.fit_scales(w);
    return t;
}

/// Squared errors of nearest rounding, by the code's own encoder.
Matrix squared_errors(const Matrix& w, CodedTensor t) {
    Matrix what(w.rows(), w.cols());
    t.encode_block(0, w.rows(), 0, w.cols(), w.data(), nullptr, what.data(), nullptr);
    return (w - what).cwiseAbs2();
}

/// Weights with an outlier of 40 standard deviations whose input is large.
struct Outlier {
    Outlier() : w(gaussian(6, 48, 1)), h(VectorD::Ones(48)) {
        w(2, 20) = 40.0F;
        h(20) = 1e4;
    }
    Matrix w;
    VectorD h;
};

TEST(ScaleSearch, NoSizeTriedIsBetterThanTheOneKept) {
    const Matrix w = gaussian(6, 48, 1);  // none above 4 standard deviations
    VectorD h = VectorD::Ones(48);
    h(20) = 100;
    for (const Grid grid : {Grid::gaussian, Grid::uniform, Grid::floating})
        for (const int bits : {3, 5})  // with few values, and with many
            for (const ScaleLayout& layout : layouts) {
                CodedTensor t = tensor_of(w, layout, scalar_grid(grid, bits));
                const Matrix start = t.scales();
                search_scales(w, h, 9, t);
                const double kept = (squared_errors(w, t).cast<double>() * h).sum();
                for (int step = 0; step < 9; ++step) {
                    CodedTensor other = t;
                    other.set_scales(start * (0.6F * std::pow(4.0F / 0.6F, step / 8.0F)));
                    // Rows and groups have sizes of their own, so that one for all is no better;
                    // 1e-3 is what rounding scales to fp16 may turn around.
                    const double error = (squared_errors(w, other).cast<double>() * h).sum();
                    EXPECT_LT(kept, 1.001 * error) << scalar_grid_name(grid, bits);
                }
            }
}

TEST(ScaleSearch, ReachesTheLargestWeight) {
    const Outlier o;
    CodedTensor t = tensor_of(o.w, layouts[1], scalar_grid(Grid::gaussian, 3));
    search_scales(o.w, o.h, 32, t);
    // Spacing of the 32 sizes: 40 / rms / .6 over 31 steps, 8% of the largest value at most.
    EXPECT_LT(std::sqrt(squared_errors(o.w, t)(2, 20)), 0.08F * 40.0F);
}

}  // namespace
}  // namespace vq
