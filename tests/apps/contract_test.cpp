// SPDX-License-Identifier: Apache-2.0
// What scripts rely on: exit codes, JSON, streams, reproducibility.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <set>

#include "base/json.h"
#include "io/checkpoints/checkpoint.h"
#include "io/hdf5/store.h"
#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// A store that all tests of this file look at, made once.
class Contract : public testing::Test {
protected:
    static void SetUpTestSuite() {
        folder_ = new TempFolder;
        one_block_model(model());
        outcome_ = new Outcome(run_vq(with(quick_quantize(model(), store()), {"--json"})));
    }
    static void TearDownTestSuite() {
        delete outcome_;
        delete folder_;
    }
    static std::string model() { return *folder_ / "model"; }
    static std::string store() { return *folder_ / "model.vq.h5"; }
    static std::string heldout() { return tiny_model + "/heldout.txt"; }
    static std::vector<std::string> with(std::vector<std::string> arguments,
                                         const std::vector<std::string>& more) {
        arguments.insert(arguments.end(), more.begin(), more.end());
        return arguments;
    }
    /// The document that a command prints; the whole of stdout must be it.
    static Json json_of(const std::vector<std::string>& arguments) {
        const Outcome outcome = run_vq(with(arguments, {"--json", "--quiet"}));
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(outcome.err, "");
        return Json::parse(outcome.out);
    }
    static void expect_keys(const Json& json, const std::vector<std::string>& keys) {
        for (const std::string& key : keys) EXPECT_TRUE(json.contains(key)) << key;
    }

    static TempFolder* folder_;
    static Outcome* outcome_;  ///< of the run that made the store
};
TempFolder* Contract::folder_ = nullptr;
Outcome* Contract::outcome_ = nullptr;

const std::vector<std::vector<std::string>> commands = {
    {"quantize"}, {"hessian", "collect"}, {"hessian", "merge"}, {"eval"},    {"compare"},
    {"sweep"},    {"sensitivity"},        {"generate"},         {"inspect"}, {"verify"},
    {"export"},   {"bench", "gaussian"}};

TEST_F(Contract, EveryCommandExplainsItselfWithAnExample) {
    for (std::vector<std::string> command : commands) {
        command.push_back("--help");
        const Outcome outcome = run_vq(command);
        EXPECT_EQ(outcome.code, 0);
        EXPECT_EQ(outcome.err, "");
        EXPECT_THAT(outcome.out, HasSubstr("Example:\n  vq " + command[0]));
        for (const char* option : {"--json", "--quiet", "--threads", "--seed"})
            EXPECT_THAT(outcome.out, HasSubstr(option)) << command[0];
    }
    EXPECT_THAT(run_vq({"quantize", "--help"}).out, HasSubstr("feedback.order"));
    EXPECT_THAT(run_vq({"--version"}).out, StartsWith("vq "));
}

TEST_F(Contract, BenchGaussianListsCodesWithTheirDistortion) {
    const Outcome outcome = run_vq({"bench", "gaussian", "--bits", "2", "--code", "scalar",
                                    "--weights", "65536", "--json", "--quiet"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json codes = Json::parse(outcome.out)["codes"];
    ASSERT_EQ(codes.size(), 1u);
    EXPECT_EQ(codes[0]["code"], "scalar");
    EXPECT_EQ(codes[0]["bits_per_weight"], 2.0);
    EXPECT_NEAR(codes[0]["rel_mse"].get<double>(), 0.1175, 0.002);  // Lloyd-Max
    EXPECT_GT(codes[0]["weights_per_second"].get<double>(), 0);
}

TEST_F(Contract, BadUsageExitsWith2AndSaysWhy) {
    const std::vector<std::vector<std::string>> wrong = {
        {},
        {"no-such-command"},
        {"eval", model()},
        {"eval", model(), "--text", heldout(), "--no-such-option"},
        {"eval", model(), "--text", heldout(), "--ctx", "many"},
        {"inspect", store(), "--threads", "0"},
        {"quantize", model(), "--calib", heldout()},
        {"quantize", model(), "-o", store()},
        {"quantize", model(), "-o", store(), "--calib", heldout(), "--method", "magic"},
        {"quantize", model(), "-o", store(), "--calib", heldout(), "--bits", "99"},
        {"quantize", model(), "-o", store(), "--calib", heldout(), "--set", "no.such=1"},
        {"quantize", model(), "-o", store(), "--calib", heldout(), "--set", "feedback.order=up"},
        {"export", store(), "--to", "tarball", "-o", *folder_ / "x"},
        {"hessian"},
        {"hessian", "merge", "one.h5", "-o", "two.h5"}};
    for (const std::vector<std::string>& arguments : wrong) {
        const Outcome outcome = run_vq(arguments);
        EXPECT_EQ(outcome.code, 2) << testing::PrintToString(arguments);
        EXPECT_EQ(outcome.out, "");
        EXPECT_THAT(outcome.err, StartsWith("error: bad usage: "));
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    }
}

TEST_F(Contract, QuantizeJsonHasItsKeysAndCountsItsBytes) {
    ASSERT_EQ(outcome_->code, 0) << outcome_->err;
    const Json json = Json::parse(outcome_->out);
    expect_keys(json, {"bits_per_weight", "model_bytes", "seconds", "peak_rss_bytes", "tensors"});
    ASSERT_EQ(json["tensors"].size(), 7U);
    double bits = 0;
    double weights = 0;
    for (const Json& tensor : json["tensors"]) {
        expect_keys(tensor, {"name", "rows", "cols", "method", "bits_per_weight", "rel_mse",
                             "rel_proxy", "seconds"});
        const double n = tensor["rows"].get<double>() * tensor["cols"].get<double>();
        bits += n * tensor["bits_per_weight"].get<double>();
        weights += n;
        EXPECT_GT(tensor["rel_mse"].get<double>(), 0);
        EXPECT_LT(tensor["rel_mse"].get<double>(), 1);
    }
    EXPECT_NEAR(json["bits_per_weight"].get<double>(), bits / weights, 1e-9);
    EXPECT_LE(json["bits_per_weight"].get<double>(), 2.5);
    // The embedding in bytes, norms in 32 bits.
    ASSERT_EQ(json["embeddings"].size(), 1U);
    const Json& embedding = json["embeddings"][0];
    expect_keys(embedding, {"name", "rows", "cols", "bits_per_weight", "rel_mse", "seconds"});
    EXPECT_NEAR(embedding["bits_per_weight"].get<double>(), 8.5, 1e-3);
    EXPECT_LT(embedding["rel_mse"].get<double>(), 1e-4);
    const double table = json["embedding_weights"].get<double>();
    EXPECT_EQ(table, embedding["rows"].get<double>() * embedding["cols"].get<double>());
    EXPECT_EQ(json["dense_weights"], 3 * 128);
    EXPECT_NEAR(json["model_bytes"].get<double>(),
                bits / 8 + table * embedding["bits_per_weight"].get<double>() / 8 + 4 * 3 * 128, 1);
    EXPECT_GT(json["file_bytes"].get<double>(), json["model_bytes"].get<double>());
    EXPECT_EQ(json["file_bytes"].get<std::uintmax_t>(), std::filesystem::file_size(store()));
}

TEST_F(Contract, DryRunForetellsTheSizeAndWritesNothing) {
    const auto before = listing(folder_->path());
    const Json plan =
        json_of({"quantize", model(), "--method", "rvq", "--bits", "2.5", "--dry-run"});
    EXPECT_EQ(listing(folder_->path()), before);
    const Json real = Json::parse(outcome_->out);
    EXPECT_DOUBLE_EQ(plan["bits_per_weight"].get<double>(), real["bits_per_weight"].get<double>());
    EXPECT_EQ(plan["model_bytes"], real["model_bytes"]);
    EXPECT_GT(plan["predicted_seconds"].get<double>(),
              plan["predicted_text_seconds"].get<double>());
    EXPECT_GT(plan["predicted_text_seconds"].get<double>(), 0);
    EXPECT_GT(plan["predicted_peak_bytes"].get<double>(), plan["model_bytes"].get<double>());
}

TEST_F(Contract, TheDefaultIsTheTrellisAndMeetsTheSameBudgetBetter) {
    const std::string best = *folder_ / "best.vq.h5";
    const std::vector<std::string> arguments = {
        "quantize",       model(),          "-o",     best,  "--calib", tiny_model + "/calib.txt",
        "--calib-tokens", "1024",           "--bits", "2.5", "--set",   "encoder.tail=16",
        "--set",          "refine.rounds=0"};
    const Json json = json_of(arguments);
    EXPECT_EQ(json["method"], "best");
    EXPECT_LE(json["bits_per_weight"].get<double>(), 2.5);
    EXPECT_GT(json["bits_per_weight"].get<double>(), 2.45);
    EXPECT_LT(json["rel_proxy"].get<double>(),
              Json::parse(outcome_->out)["rel_proxy"].get<double>());
    EXPECT_EQ(run_vq({"verify", best}).code, 0);
    std::filesystem::remove(best);
}

TEST_F(Contract, EvalJsonHasItsKeys) {
    const Json json = json_of({"eval", store(), "--text", heldout(), "--ref", model(),
                               "--max-tokens", "1024", "--precision", "fp32"});
    expect_keys(json, {"perplexity", "nll_mean", "nll_stderr", "tokens", "kld_mean", "kld_median",
                       "kld_p99", "top1_agreement"});
    EXPECT_EQ(json["tokens"], 1024 - 4);  // four windows of 256, the first token of each is given
    EXPECT_GT(json["kld_mean"].get<double>(), 0);
    const Json same = json_of({"eval", model(), "--text", heldout(), "--ref", model(),
                               "--max-tokens", "1024", "--precision", "fp32"});
    EXPECT_NEAR(same["kld_mean"].get<double>(), 0, 1e-12);
    EXPECT_EQ(same["top1_agreement"], 1.0);
}

TEST_F(Contract, TinyModelHasLearnedItsGrammar) {
    const Json json = json_of({"eval", tiny_model, "--text", heldout(), "--max-tokens", "4096"});
    EXPECT_LT(json["perplexity"].get<double>(), 1.7);
}

TEST_F(Contract, GenerateWritesTextAndJsonTheSame) {
    const std::vector<std::string> arguments = {"generate", store(), "--prompt", "Anna had three",
                                                "-n",       "12",    "--quiet"};
    const Outcome plain = run_vq(arguments);
    EXPECT_EQ(plain.code, 0) << plain.err;
    const Json json = json_of(arguments);
    EXPECT_EQ(json["text"].get<std::string>() + "\n", plain.out);
    EXPECT_EQ(json["tokens"], 12);
}

TEST_F(Contract, GenerateDrawsTheSameWithTheSameSeedOnly) {
    const auto text = [&](const std::string& seed) {
        return json_of({"generate", model(), "--prompt", "On Monday", "-n", "40", "--temperature",
                        "1.5", "--seed", seed})["text"]
            .get<std::string>();
    };
    EXPECT_EQ(text("1"), text("1"));
    EXPECT_NE(text("1"), text("2"));
}

TEST_F(Contract, InspectAndVerifyAgreeWithTheRun) {
    const Json run = Json::parse(outcome_->out);
    const Json inspect = json_of({"inspect", store()});
    for (const char* key : {"bits_per_weight", "model_bytes", "file_bytes", "quantized_weights"})
        EXPECT_EQ(inspect[key], run[key]) << key;
    const Json verify = json_of({"verify", store()});
    EXPECT_EQ(verify["ok"], true);
    EXPECT_EQ(verify["problems"].size(), 0U);
    EXPECT_EQ(verify["tensors"], inspect["tensors"].size());
}

TEST_F(Contract, InspectOfAModelCountsWhatARunWouldQuantize) {
    const Json run = Json::parse(outcome_->out);
    const Json inspect = json_of({"inspect", model()});
    EXPECT_EQ(inspect["family"], "llama");
    EXPECT_EQ(inspect["layers"], 1);
    EXPECT_EQ(inspect["mixers"], Json({{"attention", 1}}));
    EXPECT_EQ(inspect["linear_weights"], run["quantized_weights"]);
    std::int64_t weights = 0;
    for (const Json& part : inspect["parts"]) {
        weights += part["weights"].get<std::int64_t>();
        if (part["name"] == "embedding") EXPECT_EQ(part["weights"], run["embedding_weights"]);
        if (part["name"] == "other") EXPECT_EQ(part["weights"], run["dense_weights"]);
    }
    EXPECT_EQ(inspect["weights"], weights);
    EXPECT_EQ(inspect["active_weights"], weights);  // the embedding is tied: it makes the logits
    EXPECT_NE(run_vq({"inspect", model()}).out.find("layers with attention: 1"), std::string::npos);
}

TEST_F(Contract, SensitivityMakesARecipeThatQuantizeTakes) {
    const std::string recipe = *folder_ / "importance.yaml";
    const std::vector<std::string> command = {
        "sensitivity", store(),   "--ref", model(), "--text", heldout(),      "--ctx",
        "64",          "--parts", "1",     "-o",    recipe,   "--max-tokens", "512"};
    const Json json = json_of(command);
    EXPECT_GT(json["kl"], 0);
    ASSERT_EQ(json["parts"].size(), 7U);
    expect_keys(json["parts"][0],
                {"name", "weights", "bits_per_weight", "kl", "kl_stderr", "importance", "tensors"});
    const std::vector<std::string> dry = {"quantize", model(),    "--method", "best",     "--bits",
                                          "3",        "--recipe", recipe,     "--dry-run"};
    const Json plan = json_of(dry);
    EXPECT_LE(plan["bits_per_weight"], 3);
    std::set<double> bits;
    for (const Json& tensor : plan["tensors"]) bits.insert(tensor["bits_per_weight"].get<double>());
    EXPECT_GT(bits.size(), 2U);
    EXPECT_EQ(run_vq({"sensitivity", model(), "--ref", model(), "--text", heldout()}).code, 1);
    EXPECT_EQ(run_vq(with(command, {"-o", store()})).code, 2);  // -o twice
}

TEST_F(Contract, InspectCountsCodewordsWhenAsked) {
    std::size_t stages = 0;
    const Json inspect = json_of({"inspect", store(), "--codes"});
    for (const Json& tensor : inspect["tensors"])
        for (const Json& stage : tensor.value("stages", Json::array())) {
            ++stages;
            EXPECT_LE(stage["entropy"].get<double>(), stage["bits"].get<double>());
            EXPECT_LE(stage["used"].get<int>(), stage["words"].get<int>());
        }
    EXPECT_GE(stages, 14U);
    EXPECT_FALSE(json_of({"inspect", store()})["tensors"].back().contains("stages"));
    EXPECT_NE(run_vq({"inspect", store(), "--codes"}).out.find("entropy"), std::string::npos);
}

/// Everything that a store holds of its tensors.
std::string content_of(const std::string& path) {
    const StoreReader reader(path);
    std::string content = reader.meta().config_json;
    for (const std::string& name : reader.names()) {
        const StoredTensor tensor = reader.read(name);
        content += name + tensor.spec.dump();
        for (const auto& [array, values] : tensor.arrays)
            content.append(array).append(values.bytes.begin(), values.bytes.end());
    }
    return content;
}

TEST_F(Contract, VerifyFindsEveryFlippedBitThatMatters) {
    const std::string bytes = read_bytes(store());
    const std::string expected = content_of(store());
    const std::string damaged = *folder_ / "damaged.vq.h5";
    int found = 0;
    constexpr int places = 24;
    for (int i = 0; i < places; ++i) {
        std::string changed = bytes;
        changed[(2 * static_cast<std::size_t>(i) + 1) * bytes.size() / (2 * places)] ^= 4;
        write_bytes(damaged, changed);
        const Outcome outcome = run_vq({"verify", damaged, "--json"});
        EXPECT_EQ(outcome.err.empty(), outcome.code == 0);
        if (outcome.code == 0)
            EXPECT_TRUE(content_of(damaged) == expected) << "place " << i;
        else
            ++found;
    }
    EXPECT_GE(found, places / 2) << "most of a store is tensors";
    std::filesystem::remove(damaged);
}

TEST_F(Contract, ExportIsAModelThatDecodesTheSame) {
    const std::string dense = *folder_ / "dense";
    const Json json =
        json_of({"export", store(), "--to", "safetensors", "-o", dense, "--dtype", "f32"});
    EXPECT_EQ(json["dtype"], "f32");
    const Json compared = json_of({"eval", dense, "--text", heldout(), "--ref", store(),
                                   "--max-tokens", "512", "--precision", "fp32"});
    EXPECT_NEAR(compared["kld_mean"].get<double>(), 0, 1e-12);
    expect_one_error(run_vq({"export", store(), "--to", "safetensors", "-o", dense}),
                     {dense, "there already"});
    std::filesystem::remove_all(dense);
}

TEST_F(Contract, ExportInPartsIsTheSameModel) {
    const std::string whole = *folder_ / "whole";
    const std::string parts = *folder_ / "parts";
    const std::vector<std::string> common = {"export",      store(),   "--to",
                                             "safetensors", "--dtype", "f32"};
    const auto exported = [&](std::vector<std::string> more) {
        more.insert(more.begin(), common.begin(), common.end());
        return json_of(more);
    };
    EXPECT_EQ(exported({"-o", whole})["files"], 1);
    const Json json = exported({"-o", parts, "--shard-size", "200KB"});
    const auto files = json["files"].get<int>();
    EXPECT_GE(files, json["weight_bytes"].get<int>() / 200000);
    int found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(parts))
        if (entry.path().extension() == ".safetensors") ++found;
    EXPECT_EQ(found, files);
    EXPECT_TRUE(std::filesystem::exists(
        parts + fmt::format("/model-{:05}-of-{:05}.safetensors", files, files)));
    const auto source = open_checkpoint(parts);
    const auto other = open_checkpoint(whole);
    EXPECT_EQ(source->content_hash(), other->content_hash());
    expect_one_error(
        run_vq({"export", store(), "--to", "packed", "-o", *folder_ / "x", "--shard-size", "1MB"}),
        {"one file", "--shard-size"});
    std::filesystem::remove_all(whole);
    std::filesystem::remove_all(parts);
}

TEST_F(Contract, HessianFileGivesTheStoreOfTheOriginalLayers) {
    const std::string hessians = *folder_ / "h.h5";
    const Json collected =
        json_of({"hessian", "collect", model(), "--calib", tiny_model + "/calib.txt",
                 "--calib-tokens", "1024", "-o", hessians});
    EXPECT_EQ(collected["groups"], 4);
    EXPECT_EQ(collected["tokens"], 1024);
    const auto proxies = [&](const std::vector<std::string>& hessian_arguments) {
        Json json =
            json_of(with({"quantize", model(), "--bits", "2.5", "-o", *folder_ / "h.vq.h5",
                          "--method", "rvq", "--set", "refine.rounds=0", "--set", "encoder.beam=2"},
                         hessian_arguments));
        std::vector<double> values;
        for (const Json& tensor : json["tensors"]) values.push_back(tensor["rel_proxy"]);
        return values;
    };
    EXPECT_EQ(proxies({"--hessians", hessians}),
              proxies({"--hessians", "original", "--calib", tiny_model + "/calib.txt",
                       "--calib-tokens", "1024"}));
    const Json merged =
        json_of({"hessian", "merge", hessians, hessians, "-o", *folder_ / "merged.h5"});
    EXPECT_EQ(merged["tokens"], 2048);
    expect_one_error(run_vq({"quantize", tiny_model, "--bits", "2.5", "-o", *folder_ / "h.vq.h5",
                             "--hessians", hessians}),
                     {hessians, "another model"});
    for (const char* name : {"h.h5", "h.vq.h5", "merged.h5"})
        std::filesystem::remove(*folder_ / name);
}

TEST_F(Contract, HessiansOfAStoreFitTheModelThatItWasMadeFrom) {
    const std::vector<std::string> text = {"--calib", tiny_model + "/calib.txt", "--calib-tokens",
                                           "512"};
    const std::string moved = *folder_ / "elsewhere.vq.h5";
    std::filesystem::copy_file(store(), moved);
    json_of(with({"hessian", "collect", store(), "-o", *folder_ / "h.h5"}, text));
    json_of(with({"hessian", "collect", moved, "-o", *folder_ / "moved.h5"}, text));
    const Json merged = json_of(
        {"hessian", "merge", *folder_ / "h.h5", *folder_ / "moved.h5", "-o", *folder_ / "both.h5"});
    EXPECT_EQ(merged["tokens"], 1024);
    json_of({"quantize", model(), "--bits", "2.5", "-o", *folder_ / "h.vq.h5", "--method", "rvq",
             "--set", "refine.rounds=0", "--set", "encoder.beam=2", "--hessians",
             *folder_ / "both.h5"});
    // A packed file does not say which checkpoint its weights stand for.
    const std::string packed = *folder_ / "model.vqp";
    json_of({"export", store(), "--to", "packed", "-o", packed});
    expect_one_error(
        run_vq(with({"hessian", "collect", packed, "-o", *folder_ / "packed.h5"}, text)),
        {packed, "which checkpoint"});
    for (const char* name :
         {"elsewhere.vq.h5", "h.h5", "moved.h5", "both.h5", "h.vq.h5", "model.vqp"})
        std::filesystem::remove(*folder_ / name);
    EXPECT_FALSE(std::filesystem::exists(*folder_ / "packed.h5"));
}

TEST_F(Contract, StoreIsTheSameAtAnyThreadCountAndName) {
    const std::string expected = read_bytes(store());
    for (const char* threads : {"1", "2", "3"}) {
        const std::string again = *folder_ / (std::string("threads-") + threads + ".vq.h5");
        const Outcome outcome =
            run_vq(with(quick_quantize(model(), again), {"--threads", threads}));
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_TRUE(read_bytes(again) == expected) << threads << " threads";
        std::filesystem::remove(again);
    }
}

TEST_F(Contract, SeedChangesTheStore) {
    const std::string other = *folder_ / "seed.vq.h5";
    ASSERT_EQ(run_vq(with(quick_quantize(model(), other), {"--seed", "7"})).code, 0);
    EXPECT_FALSE(read_bytes(other) == read_bytes(store()));
    std::filesystem::remove(other);
}

TEST_F(Contract, AnswerThatCannotBeWrittenIsAnError) {
    const Outcome outcome = run_vq({"inspect", store()}, {.out_path = "/dev/full"});
    expect_one_error(outcome, {"standard output"});
}

}  // namespace
}  // namespace vq::test
