// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_grid.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"
#include "tests/vq/stored_fixture.h"
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

TEST(BitmodGrid, DecodesToTheSameWeightsWithOneBitMore) {
    for (const int bits : {3, 4})
        for (const auto& [m, n] : {std::pair<Index, Index>{1, 64}, {5, 5}, {17, 40}, {24, 192}}) {
            const StoredTensor stored = quantized(bits, m, n);
            const StoredTensor grid = bitmod_as_grid(stored);
            EXPECT_EQ(grid.spec["code"], "residual");
            EXPECT_EQ(grid.spec["segments"][0]["stage_bits"], Json::array({bits + 1}));
            EXPECT_EQ(decode_stored(grid, no_shared), decode_stored(stored, no_shared));
        }
}

TEST(BitmodGrid, EverySpecialValueIsThere) {
    const Array values = bitmod_as_grid(quantized(3, 17, 40)).arrays.at("codebooks");
    EXPECT_EQ(values.to_f32(),
              (std::vector<float>{0, .5, 1, 2, -1.5, -.5, -1, -2, 1.5, -3, 3, 0, 0, 0, 0, 0}));
}

TEST(BitmodGrid, GroupsAlongOutputsAreRefusedByName) {
    StoredTensor stored = quantized(3, 64, 64);
    stored.spec["along"] = "outputs";
    try {
        bitmod_as_grid(stored);
        FAIL();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("layer.w"), std::string::npos);
    }
}

// What an attacker may write into a description, and what a disk may do to the codes.
TEST(BitmodGrid, DamagedDescriptionsAreRefusedByName) {
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
    EXPECT_EQ(decode_stored(bitmod_as_grid(noise), no_shared), decode_stored(noise, no_shared));
}

}  // namespace
}  // namespace vq
