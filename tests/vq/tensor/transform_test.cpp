// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/transform.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::exact_proxy;
using test::gaussian;
using test::hessian_of;

std::vector<TransformSettings> all_settings() {
    std::vector<TransformSettings> all;
    for (const auto hadamard : {TransformSettings::Hadamard::none, TransformSettings::Hadamard::in,
                                TransformSettings::Hadamard::both})
        for (const auto scale :
             {TransformSettings::ColumnScale::none, TransformSettings::ColumnScale::weight,
              TransformSettings::ColumnScale::joint})
            for (const bool permute : {false, true}) all.push_back({hadamard, scale, permute});
    return all;
}

// The invariant that catches every inconsistency between what is done to W and to H.
TEST(Transform, PreservesProxyLossForEveryComposition) {
    for (const auto& [m, n] : {std::pair<Index, Index>{1, 5}, {17, 40}, {12, 36}, {48, 96}}) {
        const Matrix w = gaussian(m, n, 1);
        const MatrixD h =
            hessian_of(correlated_inputs(4 * n, n, 2)).xxt / static_cast<double>(4 * n);
        const Matrix what = w + 0.1F * gaussian(m, n, 3);
        const double before = exact_proxy(w - what, h);
        for (const TransformSettings& settings : all_settings()) {
            const Transform t = make_transform(settings, w, h.diagonal(), 11);
            Matrix wt = w;
            Matrix whatt = what;
            MatrixD ht = h;
            t.apply(wt);
            t.apply(whatt);
            t.apply_hessian(ht);
            // fp32 weights: the difference of two rounded transforms carries about 2^-22 of |W|.
            EXPECT_NEAR(exact_proxy(wt - whatt, ht), before, 2e-4 * before) << m << "x" << n;
        }
    }
}

TEST(Transform, InvertUndoesApply) {
    const Matrix w = gaussian(17, 40, 1);
    const MatrixD h = hessian_of(correlated_inputs(160, 40, 2)).xxt;
    for (const TransformSettings& settings : all_settings()) {
        const Transform t = make_transform(settings, w, h.diagonal(), 5);
        Matrix back = w;
        t.apply(back);
        t.invert(back);
        EXPECT_LT((back - w).cwiseAbs().maxCoeff(), 1e-4F);
    }
}

TEST(Transform, DescriptionRebuildsItExactly) {
    const Matrix w = gaussian(16, 40, 1);
    const MatrixD h = hessian_of(correlated_inputs(160, 40, 2)).xxt;
    for (const TransformSettings& settings : all_settings()) {
        const Transform t = make_transform(settings, w, h.diagonal(), 0xFFFFFFFFFFFFFFFFull);
        std::map<std::string, Array> arrays;
        const Json spec = Json::parse(t.describe(arrays).dump());
        const Transform again = Transform::parse(spec, arrays, 40, "test");
        Matrix a = w;
        Matrix b = w;
        t.invert(a);
        again.invert(b);
        EXPECT_EQ(a, b);
    }
}

TEST(Transform, PermutationPutsLargeInputsFirst) {
    MatrixD h = MatrixD::Identity(4, 4);
    h.diagonal() << 1, 9, 3, 7;
    const Transform t = make_transform({.permute = true}, Matrix::Ones(2, 4), h.diagonal(), 1);
    t.apply_hessian(h);
    EXPECT_EQ(h.diagonal(), (VectorD(4) << 9, 7, 3, 1).finished());
}

TEST(Transform, RefusesDamagedDescriptions) {
    const auto parse = [](const char* text, const std::map<std::string, Array>& arrays) {
        return Transform::parse(Json::parse(text), arrays, 4, "w");
    };
    EXPECT_THROW(parse(R"([{"op":"column_scale"}])", {}), Error);
    EXPECT_THROW(parse(R"([{"op":"permutation"}])", {}), Error);
    EXPECT_THROW(parse(R"([{"op":"hadamard","side":"up","seed":1}])", {}), Error);
    EXPECT_THROW(parse(R"([{"op":"hadamard","side":"in"}])", {}), Error);
    EXPECT_THROW(parse(R"([{"op":"rotate"}])", {}), Error);
    EXPECT_THROW(parse(R"({"op":"hadamard"})", {}), Error);
    EXPECT_THROW(parse(R"([7])", {}), Error);
    Array perm;
    perm.type = ElementType::u16;
    perm.shape = {4};
    perm.bytes = {0, 0, 1, 0, 1, 0, 3, 0};  // 1 twice
    EXPECT_THROW(parse(R"([{"op":"permutation"}])", {{"perm", perm}}), Error);
    const std::vector<float> zero = {1, 1, 0, 1};
    EXPECT_THROW(
        parse(R"([{"op":"column_scale"}])", {{"col_scale", Array::from_f16({4}, zero.data())}}),
        Error);
}

}  // namespace
}  // namespace vq
