// SPDX-License-Identifier: Apache-2.0
#include "model/session/sensitivity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/evaluate.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using test::MemorySource;
using test::random_model;
using test::random_tokens;
using testing::HasSubstr;

double two_bits(const std::string&) {
    return 2;
}

class SensitivityOf : public testing::Test {
protected:
    /// The model with noise on tensors whose names hold `part`.
    MemorySource noisy(const std::string& part, double strength) const {
        MemorySource out = original;
        for (auto& [name, tensor] : out.tensors)
            if (name.find(part) != std::string::npos && tensor.rows() > 1)
                tensor += test::random_matrix(
                    tensor.rows(), tensor.cols(),
                    strength * tensor.norm() / std::sqrt(static_cast<double>(tensor.size())), 77);
        return out;
    }
    double divergence(const MemorySource& source) const {
        const LanguageModel model(source, Precision::fp32, 64, {});
        const LanguageModel reference(original, Precision::fp32, 64, {});
        return evaluate(model, &reference, tokens, {.ctx = 64}, {}).kld_mean;
    }
    Sensitivities measure(const MemorySource& source, Index stretches) const {
        return measure_sensitivities(source, original,
                                     sensitivity_parts(source, stretches, two_bits), tokens, 64,
                                     Precision::fp32, {});
    }

    MemorySource original = random_model(test::tiny_llama(), 31);
    std::vector<TokenId> tokens = random_tokens(256, original.model.vocab_size, 33);
};

TEST_F(SensitivityOf, PartsCoverEveryLinearLayerOnce) {
    const auto parts = sensitivity_parts(original, 2, two_bits);
    double weights = 0;
    std::vector<std::string> names;
    for (const SensitivityPart& part : parts) {
        weights += part.weights;
        EXPECT_EQ(part.bits, 2);
        names.insert(names.end(), part.tensors.begin(), part.tensors.end());
    }
    EXPECT_EQ(parts.front().name, "self_attn.q_proj, layers 0-0");
    EXPECT_EQ(names.size(), static_cast<std::size_t>(7 * original.model.n_layers()));
    EXPECT_GT(weights, 0);
}

TEST_F(SensitivityOf, OnlyWhatIsNoisyCosts) {
    const MemorySource source = noisy("down_proj", 0.3);
    const Sensitivities measured = measure(source, 1);
    EXPECT_NEAR(measured.kl, divergence(source), 1e-6);
    EXPECT_EQ(measured.windows, 4);
    for (const SensitivityPart& part : measured.parts) {
        const bool noisy = part.name.starts_with("mlp.down_proj");
        EXPECT_NEAR(part.kl, noisy ? measured.kl : 0, 1e-6) << part.name;
        if (noisy) {
            EXPECT_GT(part.error, 0);
        }
    }
    EXPECT_GT(measured.kl, 0.01);
}

TEST_F(SensitivityOf, ACostIsTheDifferenceThatThePartMakes) {
    const MemorySource source = noisy("_proj", 0.2);
    const Sensitivities measured = measure(source, 2);
    const SensitivityPart& part = measured.parts.front();
    MemorySource restored = source;
    for (const std::string& name : part.tensors) restored.tensors[name] = original.tensors.at(name);
    EXPECT_NEAR(part.kl, divergence(source) - divergence(restored), 1e-6);
}

TEST_F(SensitivityOf, ImportanceIsCostAWeightOverDistortion) {
    Sensitivities measured;
    measured.parts = {{.name = "a", .tensors = {"x"}, .weights = 100, .bits = 2, .kl = 0.4},
                      {.name = "b", .tensors = {"y", "z"}, .weights = 100, .bits = 3, .kl = 0.1}};
    const auto all = importances(measured);
    EXPECT_NEAR(all[0], 1, 1e-12);  // a bit more divides by four: as dear as before
    EXPECT_NEAR(all[1], 1, 1e-12);
    measured.parts[0].kl = 1.6;
    const auto dearer = importances(measured);
    EXPECT_NEAR(dearer[0] / dearer[1], 4, 1e-12);
    EXPECT_NEAR(dearer[0] * dearer[1], 1, 1e-12);
    measured.parts[1].kl = -0.1;  // noise: no less than its error
    measured.parts[1].error = 0.1;
    EXPECT_NEAR(importances(measured)[1], dearer[1], 1e-12);
    const std::string recipe = importance_recipe(measured, "made here");
    EXPECT_THAT(recipe, HasSubstr("# made here\n"));
    EXPECT_THAT(recipe, HasSubstr("\nz: {importance: 0.5}\n"));
    measured.parts[1].tensors = {"model.layers.3.mlp.experts.0.up_proj.weight",
                                 "model.layers.3.mlp.experts.1.up_proj.weight"};
    measured.parts[0].kl = 1e30;
    EXPECT_THAT(
        importance_recipe(measured, "made here"),
        HasSubstr(" bits\nmodel.layers.3.mlp.experts.*.up_proj.weight: {importance: 1e-06}\n"));
}

TEST_F(SensitivityOf, ModelsThatDoNotBelongTogetherAreRefused) {
    MemorySource other = original;
    other.tensors.erase("model.layers.1.mlp.up_proj.weight");
    EXPECT_THROW(measure_sensitivities(original, other, sensitivity_parts(original, 1, two_bits),
                                       tokens, 64, Precision::fp32, {}),
                 Error);
    EXPECT_THROW(measure_sensitivities(original, original, sensitivity_parts(original, 1, two_bits),
                                       std::span(tokens).first(100), 64, Precision::fp32, {}),
                 Error);
}

}  // namespace
}  // namespace vq
