// SPDX-License-Identifier: Apache-2.0
// A tiny model of every family goes through quantization, and its store, the packed file and the
// exported folder are the same model.
#include <gtest/gtest.h>

#include "io/checkpoints/checkpoint.h"
#include "model/calibration.h"
#include "model/ops/packed_model.h"
#include "model/session/quantize_model.h"
#include "tests/model/family_cases.h"
#include "vq/exports/export_packed.h"
#include "vq/exports/export_safetensors.h"
#include "vq/tensor/stored_model.h"

namespace vq::test {
namespace {

class FamilyFiles : public ::testing::TestWithParam<std::string> {
protected:
    /// Writes a store of the case's model, its text the tokens of the references.
    std::string quantized() const {
        const std::string model = folder_.path() + "/model";
        std::filesystem::create_directory(model);
        write_family_model(model, GetParam());
        const auto source = open_checkpoint(model);
        CalibrationWalk walk(*source, {family_tokens()}, {}, {});
        const ModelPlan plan = plan_preset(model_tensors(*source), "gptq", {}, 6.0);
        StoreMeta meta;
        meta.fingerprint = "f";
        meta.config_json = source->config().hf_json;
        meta.provenance = Json::object();
        const std::string store = folder_ / "model.vq.h5";
        StoreWriter writer(store, meta.fingerprint, false);
        quantize_model(*source, {&walk, true, {}}, plan, 1, meta, writer, {});
        return store;
    }
    TempFolder folder_;
};

TEST_P(FamilyFiles, HoldTheSameModel) {
    const std::string store = quantized();
    const auto source = open_stored_model(store);
    const Matrix logits = logits_of(*source, family_tokens());
    ASSERT_TRUE(logits.allFinite());
    const auto distance = [&](const WeightSource& other) {
        return (logits_of(other, family_tokens()) - logits).cwiseAbs().maxCoeff();
    };
    const std::string packed = folder_ / "model.vqp";
    export_packed(store, packed, PackedMatrices::int8, {});
    EXPECT_LT(distance(*open_packed_model(packed)), 1e-4);
    const std::string dense = folder_ / "dense";
    export_safetensors(*source, "f32", dense, 20000, {});
    EXPECT_EQ(distance(*open_checkpoint(dense)), 0);
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyFiles, ::testing::ValuesIn(family_cases()),
                         family_case_name);

}  // namespace
}  // namespace vq::test
