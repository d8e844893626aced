// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_pack.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "codebooks/residual/table.h"
#include "codebooks/scalar/grid.h"
#include "tests/vq/layer_fixture.h"
#include "tests/vq/stored_fixture.h"
#include "vq/layer/quantize_layer.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::damage_check;
using test::gaussian;
using test::hessian_of;
using test::no_shared;

StoredTensor quantized(int bits, Index m, Index n) {
    Settings s = preset_settings("bitmod");
    s.code.stage_bits = {bits};
    return store_tensor(
        "layer.w",
        quantize_layer(1.7F * gaussian(m, n, 1), hessian_of(correlated_inputs(4 * n, n, 2)), s, {},
                       7, "layer.w", {}),
        "bitmod");
}

/// Codes of Gaussian weights, `groups` of them a row.
std::vector<std::uint64_t> codes_of(const BitmodCode& code, Index rows, Index groups) {
    const Matrix w = 1.7F * gaussian(rows * groups, code.dim(), 3);
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(w.rows() * code.words()));
    Matrix unused(w.rows(), w.cols());
    code.encode(w.data(), w.rows(), nullptr, codes.data(), unused.data());
    return codes;
}

CodedView view_of(const BitmodCode& code, const std::vector<std::uint64_t>& codes, Index rows,
                  Index groups) {
    CodedView view;
    view.name = "layer.w";
    view.rows = rows;
    view.cols = groups * code.dim();
    view.segments = {{std::make_shared<BitmodCode>(code), view.cols, "", codes}};
    return view;
}

TEST(BitmodPack, GridsHaveTheSameWeightsWithOneBitMore) {
    for (const int bits : {3, 4})
        for (const int dim : {1, 5, 64}) {
            const BitmodCode code(dim, bits);
            const std::vector<std::uint64_t> codes = codes_of(code, 17, 3);
            const BitmodGrid grid = bitmod_as_grid(code, codes);
            EXPECT_EQ(grid.code->bits(), bits + 1);
            Matrix want(17, 3 * dim);
            code.decode(codes.data(), 17 * 3, want.data());
            Matrix got(17, 3 * dim);
            grid.code->decode(grid.codes.data(), got.size(), got.data());
            EXPECT_EQ(got, want);
        }
}

TEST(BitmodPack, EverySpecialValueIsThere) {
    const BitmodGrid grid = bitmod_as_grid(BitmodCode(64, 3), {});
    EXPECT_EQ(grid.code->parameters(),
              (std::vector<float>{0, .5, 1, 2, -1.5, -.5, -1, -2, 1.5, -3, 3, 0, 0, 0, 0, 0}));
}

TEST(BitmodPack, ThreeBitsAreAGridForKernelsAndFourATable) {
    for (const auto& [bits, kind] :
         {std::pair{3, decode::grid_kind}, std::pair{4, decode::table_kind}}) {
        const BitmodCode code(64, bits);
        const std::vector<std::uint64_t> codes = codes_of(code, 70, 2);
        const auto packed = pack_bitmod(view_of(code, codes, 70, 2));
        ASSERT_TRUE(packed.has_value());
        ASSERT_EQ(packed->segments.size(), 1U);
        EXPECT_EQ(packed->segments[0].record.code, kind);
        EXPECT_EQ(packed->padded_rows, bits == 3 ? 128 : 70);
        EXPECT_EQ(packed->segments[0].codebooks[0].size(), std::size_t{2} << bits);
    }
}

TEST(BitmodPack, GroupsAlongOutputsAreRefusedByName) {
    const BitmodCode code(64, 3);
    const std::vector<std::uint64_t> codes = codes_of(code, 64, 1);
    CodedView view = view_of(code, codes, 64, 1);
    view.along_outputs = true;
    try {
        pack_bitmod(view);
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("layer.w"), std::string::npos);
    }
}

// What an attacker may write into a description, and what a disk may do to the codes.
TEST(BitmodStored, DamagedDescriptionsAreRefusedByName) {
    const StoredTensor good = quantized(3, 24, 128);
    const auto expect_error = damage_check(good);
    for (const char* key : {"dim", "bits", "magnitudes", "specials", "cols"}) {
        expect_error([&](StoredTensor& t) { t.spec["segments"][0].erase(key); });
        for (const Json& value : {Json(-1), Json(0), Json(5), Json(1 << 20), Json(3.5), Json("x"),
                                  Json::array(), Json::object(), Json(nullptr)})
            expect_error([&](StoredTensor& t) { t.spec["segments"][0][key] = value; });
    }
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["dim"] = 63; });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["bits"] = 4; });
    expect_error([](StoredTensor& t) { t.spec["along"] = "outputs"; });  // 24 rows
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["specials"][2] = -4; });
    expect_error([](StoredTensor& t) { t.arrays.erase("codes"); });
    expect_error([](StoredTensor& t) {
        Array& a = t.arrays["codes"];
        a.bytes.pop_back();
        --a.shape[0];
    });
    // Any bytes of the right length are codes.
    StoredTensor noise = good;
    for (std::size_t i = 0; i < noise.arrays["codes"].bytes.size(); ++i)
        noise.arrays["codes"].bytes[i] = static_cast<std::uint8_t>(i * 167 + 13);
    EXPECT_TRUE(decode_stored(noise, no_shared).allFinite());
}

}  // namespace
}  // namespace vq
