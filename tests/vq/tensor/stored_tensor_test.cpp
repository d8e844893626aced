// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/stored_tensor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"
#include "tests/vq/shared_grids.h"
#include "tests/vq/stored_fixture.h"
#include "vq/layer/planned_bits.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::damage_check;
using test::gaussian;
using test::hessian_of;
using test::no_shared;

/// With one scale.
Settings first_of(const std::string& method, const std::vector<Settings>& all) {
    return *std::find_if(all.begin(), all.end(),
                         [&](const Settings& s) { return s.method == method; });
}

/// Every preset with codebooks of the tensor's own. Grids by column have none: see below.
std::vector<Settings> variants() {
    std::vector<Settings> all;
    for (const PresetInfo& preset : presets()) {
        Settings s = preset_settings(preset.name);
        if (s.code.kind == "grid") continue;
        s.code.scope = CodebookScope::tensor;
        s.code.grid = Grid::gaussian;
        s.code.kmeans.iterations = 3;
        s.code.outlier_bits = 5;
        s.code.outliers = s.code.outliers > 0 ? 0.2 : 0;
        s.code.stage_bits = s.code.dim == 1 ? std::vector<int>{3} : std::vector<int>{5, 4};
        if (s.code.kind == "e8p") s.code.stage_bits = {16, 8};
        if (s.code.kind == "bitmod") {
            s.code.dim = 16;
            s.code.stage_bits = {3};
        }
        s.code.rate = 2.3;
        s.code.tail = 16;
        s.refine.rounds = 1;
        for (const ScaleLayout& layout :
             {ScaleLayout{ScaleLayout::Scope::tensor, 0}, ScaleLayout{ScaleLayout::Scope::row, 0},
              ScaleLayout{ScaleLayout::Scope::group, 16}}) {
            s.scale = layout;
            s.transform.column_scale = TransformSettings::ColumnScale::joint;
            all.push_back(s);
        }
    }
    Settings outliers_along_inputs = first_of("gptvq", all);
    outliers_along_inputs.transform.permute = true;
    outliers_along_inputs.code.outliers = 0.2;
    all.push_back(outliers_along_inputs);
    return all;
}

QuantizedLayer quantize(const Settings& s, Index m, Index n) {
    return quantize_layer(gaussian(m, n, 1), hessian_of(correlated_inputs(4 * n, n, 2)), s, {}, 7,
                          "w", {});
}

TEST(StoredTensor, DecodesToTheReconstructionBitForBit) {
    for (const Settings& s : variants())
        for (const auto& [m, n] : {std::pair<Index, Index>{24, 48}, {17, 40}, {1, 32}}) {
            const QuantizedLayer q = quantize(s, m, n);
            StoredTensor stored = store_tensor("w", q, s.method);
            stored.spec = Json::parse(stored.spec.dump());  // as read from a file
            EXPECT_EQ(decode_stored(stored, no_shared), q.what) << settings_json(s).dump();
        }
}

TEST(StoredTensor, PlannedBitsAreTheBytesStored) {
    for (const Settings& s : variants())
        for (const auto& [m, n] : {std::pair<Index, Index>{24, 48}, {17, 40}, {1, 32}}) {
            const StoredTensor stored = store_tensor("w", quantize(s, m, n), s.method);
            EXPECT_DOUBLE_EQ(planned_bits({m, n}, s, true),
                             8.0 * static_cast<double>(stored.bytes()))
                << settings_json(s).dump();
            EXPECT_DOUBLE_EQ(stored.bits_per_weight, 8.0 * static_cast<double>(stored.bytes()) /
                                                         static_cast<double>(m * n));
        }
}

TEST(StoredTensor, GridsByColumnTakeThePlannedBitsAndComeBack) {
    Settings s = preset_settings("cvxq-grid");
    s.scale_search = 4;
    const SharedCodes shared = test::shared_grids(s);
    SharedArrays arrays;
    for (const SharedCode& c : shared) arrays[c.name] = store_codebook(*c.code);
    for (const double rate : {1.0, 2.37, 3.0, 5.5, 8.0})
        for (const auto& [m, n] : {std::pair<Index, Index>{24, 48}, {17, 40}, {1, 32}, {40, 5}}) {
            s.code.rate = rate;
            const QuantizedLayer q =
                quantize_layer(gaussian(m, n, 1), hessian_of(correlated_inputs(4 * n, n, 2)), s,
                               shared, 7, "w", {});
            StoredTensor stored = store_tensor("w", q, s.method);
            stored.spec = Json::parse(stored.spec.dump());
            EXPECT_EQ(decode_stored(stored, arrays), q.what) << rate << " " << m << "x" << n;
            EXPECT_DOUBLE_EQ(planned_bits({m, n}, s, false),
                             8.0 * static_cast<double>(stored.bytes()));
            stored.spec["segments"][0]["cols"] = n + 1;
            EXPECT_THROW(decode_stored(stored, arrays), Error);
        }
}

TEST(StoredTensor, BytesTakeThePlannedBitsAndComeBack) {
    Settings s;
    s.code.kind = "bytes";
    s.code.dim = 32;
    s.code.stage_bits = {8};
    for (const auto& [m, n] : {std::pair<Index, Index>{24, 48}, {17, 40}, {1, 32}, {3, 64}}) {
        const QuantizedLayer q = quantize(s, m, n);
        EXPECT_EQ(q.tensor.scales(), Matrix::Ones(1, 1));
        EXPECT_LT(q.errors.rel_mse, 1e-4);
        StoredTensor stored = store_tensor("w", q, s.method);
        stored.spec = Json::parse(stored.spec.dump());
        EXPECT_EQ(decode_stored(stored, no_shared), q.what) << m << "x" << n;
        const Index padded = (n + 31) / 32 * 32;
        EXPECT_EQ(planned_bits({m, n}, s, true), static_cast<double>(8.5 * m * padded + 32));
        EXPECT_EQ(planned_bits({m, n}, s, true), 8.0 * static_cast<double>(stored.bytes()));
        StoredTensor damaged = stored;
        damaged.arrays.at("codes").bytes[2] = 0x80;  // -128, which no encoder writes
        EXPECT_THROW(decode_stored(damaged, no_shared), Error);
        damaged = stored;
        damaged.arrays.at("codes").bytes[1] = 0x7C;  // an infinite scale
        EXPECT_THROW(decode_stored(damaged, no_shared), Error);
        damaged = stored;
        damaged.spec["segments"][0]["dim"] = 16;
        EXPECT_THROW(decode_stored(damaged, no_shared), Error);
    }
}

TEST(StoredTensor, EveryDamageIsAnErrorThatNamesTheTensor) {
    const Settings s = first_of("vptq", variants());  // permutation, column scale, two segments
    const StoredTensor good = store_tensor("layer.w", quantize(s, 24, 48), s.method);
    const auto expect_error = damage_check(good);
    for (const auto& entry : good.arrays) {
        const std::string& name = entry.first;
        expect_error([&](StoredTensor& t) { t.arrays.erase(name); });
        expect_error(test::halved(name));
    }
    for (const char* key : {"code", "padded_rows", "padded_cols", "along", "scale", "segments"})
        expect_error([&](StoredTensor& t) { t.spec.erase(key); });
    expect_error([](StoredTensor& t) { t.spec["padded_rows"] = 1LL << 60; });
    expect_error([](StoredTensor& t) { t.spec["padded_cols"] = -8; });
    expect_error([](StoredTensor& t) {  // rows x cols would wrap around
        t.shape = {1, Index{1} << 52};
        t.spec["padded_rows"] = 4096;
        t.spec["padded_cols"] = Index{1} << 52;
    });
    for (const char* name : {"codebooks", "row_scale", "col_scale"})
        expect_error([&](StoredTensor& t) {  // right length, wrong type
            Array& a = t.arrays[name];
            a.bytes.resize(static_cast<std::size_t>(a.count()));
            a.type = ElementType::u8;
        });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["cols"] = 4096; });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["dim"] = 0; });
    expect_error([](StoredTensor& t) { t.spec["segments"][0]["stage_bits"] = {40}; });
    expect_error([](StoredTensor& t) { t.spec["segments"][1]["codebook"] = 5; });
    expect_error([](StoredTensor& t) { t.spec["segments"] = Json::array(); });
    expect_error([](StoredTensor& t) { t.spec["segments"][0] = 5; });
    expect_error([](StoredTensor& t) { t.spec["transform"] = Json::parse(R"([{"op":"x"}])"); });
    expect_error([](StoredTensor& t) {
        for (auto& b : t.arrays["row_scale"].bytes) b = 0xFF;  // NaN
    });
}

TEST(StoredTensor, DenseTensorsComeBackAsTheyAre) {
    StoredTensor t;
    t.name = "norm";
    t.shape = {2, 3};
    t.spec = {{"code", "dense"}};
    const Matrix w = gaussian(2, 3, 1);
    t.arrays["dense"] = Array::from_f32({2, 3}, w.data());
    EXPECT_EQ(decode_stored(t, no_shared), w);
    t.arrays["dense"] = Array::from_f32({5}, w.data());
    EXPECT_THROW(decode_stored(t, no_shared), Error);
}

}  // namespace
}  // namespace vq
