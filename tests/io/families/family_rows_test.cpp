// SPDX-License-Identifier: Apache-2.0
// The table: what every row must say, and that names come from rows alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "io/checkpoints/checkpoint.h"
#include "io/families/gguf_config.h"
#include "io/families/gguf_tensors.h"
#include "io/families/linear_groups.h"
#include "tests/io/families/made_up_family.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void expect_complete(const Family& family) {
    SCOPED_TRACE(std::string(family.model_type));
    std::set<TensorRole> roles;
    std::set<std::string> names;
    for (const TensorNames& tensor : family.tensors) {
        EXPECT_TRUE(roles.insert(tensor.role).second) << tensor.hf << " has the role of another";
        EXPECT_TRUE(names.insert(tensor.hf).second) << tensor.hf << " is the name of another";
        if (tensor.gguf == nullptr) continue;
        EXPECT_TRUE(names.insert(tensor.gguf).second) << tensor.gguf << " is the name of another";
        const auto numbered = [](std::string_view name) {
            return name.find("{}") != std::string_view::npos;
        };
        EXPECT_EQ(numbered(tensor.hf), numbered(tensor.gguf)) << tensor.hf;
    }
    for (const TensorRole role : {TensorRole::embedding, TensorRole::attention_out,
                                  TensorRole::final_norm, TensorRole::head})
        EXPECT_TRUE(roles.contains(role));
    // The runtime stacks q, k and v, and gate and up, in this order.
    EXPECT_TRUE(std::is_sorted(family.tensors.begin(), family.tensors.end(),
                               [](const auto& a, const auto& b) { return a.role < b.role; }));
    std::set<std::string> keys;
    std::set<Setting> settings;
    for (const ConfigKey& key : family.keys) {
        EXPECT_TRUE(keys.insert(key.hf).second) << key.hf << " stands twice";
        // Another name of a setting stands without what its absence means.
        EXPECT_TRUE(key.setting == Setting::fixed || settings.insert(key.setting).second ||
                    (key.fallback == nullptr && key.gguf == nullptr))
            << key.hf << " says what another says";
        if (key.fallback != nullptr) {
            EXPECT_FALSE(Json::parse(key.fallback, nullptr, false).is_discarded()) << key.hf;
        } else {
            EXPECT_NE(key.setting, Setting::fixed) << key.hf;
        }
    }
    for (const std::string_view key : family.ignored_keys)
        EXPECT_TRUE(keys.insert(std::string(key)).second) << key << " is read or stands twice";
    for (const std::string_view key : harmless_config_keys())
        EXPECT_TRUE(keys.insert(std::string(key)).second) << key << " stands twice";
    for (const Setting setting :
         {Setting::vocab_size, Setting::hidden_size, Setting::layers, Setting::heads,
          Setting::max_position, Setting::norm_epsilon, Setting::rope_theta})
        ASSERT_NE(find_key(family, setting), nullptr);
}

TEST(FamilyRows, SayEverythingOnce) {
    std::set<std::string_view> names;
    for (const Family& family : families()) {
        expect_complete(family);
        EXPECT_TRUE(names.insert(family.model_type).second) << family.model_type;
    }
    expect_complete(weaver[0]);
}

TEST(FamilyRows, ARowWithNamesOfItsOwnNeedsNothingElse) {
    const ModelConfig config = parse_hf_config(weaver_config, "here", weaver);
    EXPECT_EQ(config.architecture, "weaver");
    EXPECT_EQ(config.hidden_size, 24);
    EXPECT_EQ(config.ropes.front().theta, 77.0) << "the row's fallback";
    EXPECT_EQ(config.ropes.front().dims, 6);
    EXPECT_TRUE(config.eos_ids.empty());
    std::vector<std::string> names;
    for (const ExpectedTensor& tensor : expected_tensors(config)) names.push_back(tensor.name);
    EXPECT_THAT(
        std::vector<std::string>(names.begin(), names.begin() + 13),
        ElementsAre("loom.words.weight", "loom.0.even_a.weight", "loom.0.warp.ask.weight",
                    "loom.0.warp.ask.bias", "loom.0.warp.find.weight", "loom.0.warp.find.bias",
                    "loom.0.warp.give.weight", "loom.0.warp.tie.weight", "loom.0.even_b.weight",
                    "loom.0.weft.door.weight", "loom.0.weft.rise.weight", "loom.0.weft.fall.weight",
                    "loom.0.weft.fall.bias"));
    EXPECT_THAT(std::vector<std::string>(names.end() - 2, names.end()),
                ElementsAre("loom.even.weight", "cloth.weight"));
    const auto groups = linear_groups(config, 1);
    ASSERT_EQ(groups.size(), 4U);
    EXPECT_THAT(groups[0].names, ElementsAre("loom.1.warp.ask.weight", "loom.1.warp.find.weight",
                                             "loom.1.warp.give.weight"));
    EXPECT_EQ(groups[3].cols, 40);
    bool found = false;
    for (const GgufSource& source : gguf_sources(
             config, [](const auto&) { return true; }, weaver))
        if (source.name == "loom.1.weft.fall.bias") {
            found = true;
            EXPECT_THAT(source.tensors, ElementsAre("row.1.fall.bias"));
        }
    EXPECT_TRUE(found);
}

TEST(FamilyRows, ErrorsSpeakTheLanguageOfTheRow) {
    const auto error = [](const char* key, const Json& value) {
        Json json = Json::parse(weaver_config);
        json[key] = value;
        return error_of([&] { parse_hf_config(json.dump(), "here", weaver); });
    };
    EXPECT_THAT(error("width", 0), HasSubstr("width is 0"));
    EXPECT_THAT(error("rows", nullptr), HasSubstr("rows is missing"));
    EXPECT_THAT(error("knots", 4), HasSubstr("knots is 4, only 3"));
    EXPECT_THAT(error("hidden_size", 24), HasSubstr("hidden_size is 24"));
    EXPECT_THAT(error("model_type", "llama"), AllOf(HasSubstr("\"llama\""), HasSubstr("weaver")));
    EXPECT_THAT(error_of([] { parse_hf_config(weaver_config, "here"); }), HasSubstr("\"weaver\""));
}

TEST(FamilyRows, GgufMetadataIsReadByTheRow) {
    const TempFolder folder;
    const std::string path = folder / "model.gguf";
    GgufBuilder gguf;
    gguf.set("general.architecture", "wv").set("wv.width", 24u).set("wv.weft_width", 40u);
    gguf.set("wv.rows", 2u).set("wv.heads", 3u).set("wv.kv_heads", 1u).set("wv.head_width", 6u);
    gguf.set("wv.length", 64u).set("wv.eps", 1e-5F).set("wv.turn", 77.0F);
    gguf.tensor("words.weight", {24, 90}, 0, std::string(24 * 90 * 4, '\0'));
    gguf.tensor("fabric.weight", {24, 90}, 0, std::string(24 * 90 * 4, '\0'));
    gguf.tensor("row.0.ask.bias", {18}, 0, std::string(72, '\0'));
    write_bytes(path, gguf.bytes());
    const ModelConfig config = gguf_model_config(GgufFile(path), weaver);
    Json expected = Json::parse(weaver_config);
    for (const char* key : {"words", "width", "weft_width", "rows", "heads", "kv_heads",
                            "head_width", "length", "asks_biased", "one_table"})
        EXPECT_EQ(Json::parse(config.hf_json)[key], expected[key]) << key;
    EXPECT_TRUE(config.layers[1].tensor(TensorRole::query).bias);
    gguf.set("wv.speed", 9u);
    write_bytes(path, gguf.bytes());
    EXPECT_THAT(error_of([&] { gguf_model_config(GgufFile(path), weaver); }),
                HasSubstr("wv.speed is 9"));
}

// Tensors stand in the order of their roles, in which what attention gives comes before the parts
// of latent attention that it is made of.
TEST(LinearGroups, ComeInTheOrderInWhichTheirInputsArise) {
    ModelConfig config;
    config.layers.resize(1);
    const auto add = [&](TensorRole role, std::int64_t expert) {
        ModelTensor tensor;
        tensor.role = role;
        tensor.expert = expert;
        config.layers[0].tensors.push_back(tensor);
    };
    for (const TensorRole role :
         {TensorRole::attention_out, TensorRole::latent_query_down, TensorRole::latent_query_up,
          TensorRole::latent_key_value_down, TensorRole::latent_key_value_up})
        add(role, -1);
    for (const TensorRole role : {TensorRole::expert_gate, TensorRole::expert_down})
        for (const std::int64_t expert : {0, 1}) add(role, expert);
    add(TensorRole::shared_gate, -1);
    std::vector<std::pair<GroupKind, Index>> got;
    for (const LinearGroup& group : linear_groups(config, 0))
        got.emplace_back(group.kind, group.expert);
    using enum GroupKind;
    const std::vector<std::pair<GroupKind, Index>> want = {
        {qkv, -1},           {latent_query, -1},  {latent_kv, -1},
        {attention_out, -1}, {expert_gate_up, 0}, {expert_down, 0},
        {expert_gate_up, 1}, {expert_down, 1},    {shared_gate_up, -1}};
    EXPECT_EQ(got, want);
}

TEST(LinearGroups, NameTheTensorsThatShareAnInput) {
    const TinyModel model;
    const ModelConfig config = parse_hf_config(model.config_json(), "config.json");
    const auto groups = linear_groups(config, 1);
    ASSERT_EQ(groups.size(), 4U);
    EXPECT_THAT(groups[0].names, ElementsAre("model.layers.1.self_attn.q_proj.weight",
                                             "model.layers.1.self_attn.k_proj.weight",
                                             "model.layers.1.self_attn.v_proj.weight"));
    EXPECT_THAT(groups[1].names, ElementsAre("model.layers.1.self_attn.o_proj.weight"));
    EXPECT_THAT(groups[2].names, ElementsAre("model.layers.1.mlp.gate_proj.weight",
                                             "model.layers.1.mlp.up_proj.weight"));
    EXPECT_THAT(groups[3].names, ElementsAre("model.layers.1.mlp.down_proj.weight"));
    std::set<GroupKind> kinds;
    for (const LinearGroup& group : groups) kinds.insert(group.kind);
    EXPECT_EQ(kinds.size(), 4U);
    for (const TinyModel::Entry& entry : model.tensors())
        for (const LinearGroup& group : groups)
            for (const std::string& name : group.names)
                EXPECT_TRUE(name != entry.name || entry.cols == group.cols) << name;
}

}  // namespace
}  // namespace vq::test
