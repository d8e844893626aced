// SPDX-License-Identifier: Apache-2.0
// A tiny model of every family computes what transformers computes for it: the references and the
// models' shapes are those of data/make_family_logits.py.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/json.h"
#include "io/checkpoints/weight_source.h"
#include "model/language_model.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

struct Reference {
    Json all = Json::parse(read_bytes(VQKIT_TEST_DATA "/data/family_logits.json"));
    std::string logits = read_bytes(VQKIT_TEST_DATA "/data/family_logits.f32");
};

const Reference& reference() {
    static const Reference loaded;
    return loaded;
}

/// What numbers() of the script makes of a tensor's name.
std::vector<float> numbers(const std::string& name, std::int64_t count) {
    std::uint64_t state = 14695981039346656037U;
    for (const char c : name) state = (state ^ static_cast<std::uint8_t>(c)) * 1099511628211U;
    std::vector<float> values;
    for (std::int64_t i = 1; i <= count; ++i) {
        std::uint64_t z = state + static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15U;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        z ^= z >> 31;
        values.push_back(static_cast<float>(z >> 40) / static_cast<float>(1 << 23) - 1.0F);
    }
    return values;
}

/// What weights() of the script makes of them.
std::vector<float> weights(const SafetensorEntry& tensor) {
    const auto count = std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1},
                                       std::multiplies<>());
    std::vector<float> values = numbers(tensor.name, count);
    const bool norm =
        tensor.name.find("norm") != std::string::npos && tensor.name.ends_with("weight");
    const bool vector = tensor.shape.size() == 1;
    const float scale =
        vector ? 0.25F
               : static_cast<float>(1.75 / static_cast<double>(
                                               std::sqrt(static_cast<float>(tensor.shape.back()))));
    for (float& value : values) value = value * scale + (vector && norm ? 1.0F : 0.0F);
    return values;
}

void write_model(const std::string& folder, const Json& model) {
    write_bytes(folder + "/config.json", model.at("config").dump());
    std::vector<SafetensorEntry> entries;
    for (const auto& [name, shape] : model.at("tensors").items())
        entries.push_back({name, SafetensorType::f32, shape.get<std::vector<std::int64_t>>()});
    SafetensorsWriter writer(folder + "/model.safetensors", entries);
    for (const SafetensorEntry& entry : entries) writer.write(entry.name, weights(entry).data());
    writer.finish();
}

Matrix logits_of(const WeightSource& source, const std::vector<TokenId>& tokens) {
    const auto count = static_cast<Index>(tokens.size());
    const LanguageModel model(source, Precision::fp32, count, {});
    Matrix hidden(count, model.config().hidden_size);
    model.forward(tokens, nullptr, hidden.data());
    Matrix logits(count, model.config().vocab_size);
    model.head().apply(hidden.data(), count, logits.data(), model.scratch());
    return logits;
}

class FamilyLogits : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyLogits, AreThoseOfTransformers) {
    const Json& cases = reference().all.at("cases");
    const auto tokens = reference().all.at("tokens").get<std::vector<TokenId>>();
    const TempFolder folder;
    write_model(folder.path(), cases.at(GetParam()));
    const Matrix logits = logits_of(*open_checkpoint(folder.path()), tokens);
    std::size_t number = 0;
    for (const auto& [name, model] : cases.items()) {
        if (name == GetParam()) break;
        ++number;
    }
    std::vector<float> expected(static_cast<std::size_t>(logits.size()));
    const std::size_t bytes = expected.size() * sizeof(float);
    ASSERT_LE((number + 1) * bytes, reference().logits.size());
    std::memcpy(expected.data(), reference().logits.data() + number * bytes, bytes);
    for (Index i = 0; i < logits.size(); ++i)
        ASSERT_NEAR(logits.data()[i], expected[static_cast<std::size_t>(i)], 1e-4)
            << "token " << i / logits.cols() << ", word " << i % logits.cols();
}

std::vector<std::string> case_names() {
    std::vector<std::string> names;
    for (const auto& [name, model] : reference().all.at("cases").items()) names.push_back(name);
    return names;
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyLogits, ::testing::ValuesIn(case_names()),
                         [](const auto& test) {
                             std::string name = test.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace vq::test
