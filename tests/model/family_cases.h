// SPDX-License-Identifier: Apache-2.0
// Tiny models of every family, of which data/make_family_logits.py keeps configuration, names and
// shapes of tensors, and the logits that transformers computes.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/checkpoints/weight_source.h"
#include "model/language_model.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {

struct FamilyReference {
    Json all = Json::parse(read_bytes(VQKIT_TEST_DATA "/data/family_logits.json"));
    std::string logits = read_bytes(VQKIT_TEST_DATA "/data/family_logits.f32");
};

inline const FamilyReference& family_reference() {
    static const FamilyReference loaded;
    return loaded;
}

inline std::vector<TokenId> family_tokens() {
    return family_reference().all.at("tokens").get<std::vector<TokenId>>();
}

inline std::vector<std::string> family_cases() {
    std::vector<std::string> names;
    for (const auto& [name, model] : family_reference().all.at("cases").items())
        names.push_back(name);
    return names;
}

/// For the names of parameterized tests.
inline std::string family_case_name(const ::testing::TestParamInfo<std::string>& test) {
    std::string name = test.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

/// What numbers() of the script makes of a tensor's name.
inline std::vector<float> numbers_of_name(const std::string& name, std::int64_t count) {
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
inline std::vector<float> family_weights(const SafetensorEntry& tensor) {
    const auto count = std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1},
                                       std::multiplies<>());
    std::vector<float> values = numbers_of_name(tensor.name, count);
    const bool around_one =
        (tensor.name.find("norm") != std::string::npos && tensor.name.ends_with("weight")) ||
        tensor.name.find("scal") != std::string::npos;
    const bool vector = tensor.shape.size() == 1;
    const float scale =
        vector ? 0.25F
               : static_cast<float>(1.75 / static_cast<double>(
                                               std::sqrt(static_cast<float>(tensor.shape.back()))));
    for (float& value : values) value = value * scale + (vector && around_one ? 1.0F : 0.0F);
    return values;
}

/// Writes the model of a case into a folder, and `more` tensors with it.
inline void write_family_model(const std::string& folder, const std::string& name,
                               const std::vector<SafetensorEntry>& more = {}) {
    const Json& model = family_reference().all.at("cases").at(name);
    write_bytes(folder + "/config.json", model.at("config").dump());
    std::vector<SafetensorEntry> entries = more;
    for (const auto& [tensor, shape] : model.at("tensors").items())
        entries.push_back({tensor, SafetensorType::f32, shape.get<std::vector<std::int64_t>>()});
    SafetensorsWriter writer(folder + "/model.safetensors", entries);
    for (const SafetensorEntry& entry : entries)
        writer.write(entry.name, family_weights(entry).data());
    writer.finish();
}

/// Size (tokens, vocabulary), in fp32; behind what is in `cache`, where there is one.
inline Matrix logits_of(const LanguageModel& model, const std::vector<TokenId>& tokens,
                        KvCache* cache = nullptr) {
    const auto count = static_cast<Index>(tokens.size());
    Matrix hidden(count, model.config().hidden_size);
    model.forward(tokens, cache, hidden.data());
    Matrix logits(count, model.config().vocab_size);
    model.head().apply(hidden.data(), count, logits.data(), model.scratch());
    return logits;
}

inline Matrix logits_of(const WeightSource& source, const std::vector<TokenId>& tokens) {
    return logits_of(LanguageModel(source, Precision::fp32, static_cast<Index>(tokens.size()), {}),
                     tokens);
}

}  // namespace vq::test
