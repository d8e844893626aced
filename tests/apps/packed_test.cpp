// SPDX-License-Identifier: Apache-2.0
// The way of a model from a store to a packed file, and what runs on it.
#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "base/json.h"
#include "tests/apps/run_vq.h"

namespace vq {
namespace {

using test::run_vq;
using test::tiny_model;

class Packed : public testing::Test {
protected:
    static void SetUpTestSuite() {
        folder_ = new std::string(testing::TempDir() + "vqkit_packed_" + std::to_string(getpid()));
        std::filesystem::create_directory(*folder_);
        quantize(store(), "code=int8");
        ASSERT_EQ(run_vq({"export", store(), "--to", "packed", "-o", packed(), "--quiet"}).code, 0);
    }
    static void TearDownTestSuite() {
        std::filesystem::remove_all(*folder_);
        delete folder_;
    }
    /// A store whose embedding is kept like this.
    static void quantize(const std::string& path, const std::string& embedding) {
        ASSERT_EQ(run_vq({"quantize", tiny_model, "--calib", tiny_model + "/calib.txt",
                          "--calib-tokens", "2048", "--bits", "2.4", "--set", "refine.rounds=0",
                          "--set", "embedding." + embedding, "-o", path, "--quiet"})
                      .code,
                  0);
    }
    static std::string store() { return *folder_ + "/model.vq.h5"; }
    static std::string packed() { return *folder_ + "/model.vqp"; }
    static std::string text() { return tiny_model + "/heldout.txt"; }
    static Json json_of(std::vector<std::string> arguments) {
        arguments.emplace_back("--json");
        const test::Outcome outcome = run_vq(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return Json::parse(outcome.out);
    }
    static Json eval(const std::string& model, const std::string& precision) {
        return json_of({"eval", model, "--text", text(), "--max-tokens", "1000", "--ctx", "128",
                        "--ref", tiny_model, "--precision", precision});
    }

    static std::string* folder_;
};
std::string* Packed::folder_ = nullptr;

TEST_F(Packed, ExactEvaluationEqualsThatOfTheStore) {
    const Json want = eval(store(), "fp32");
    // What the store holds, int8 for the embedding; sums run in another order.
    const Json bytes = eval(packed(), "fp32");
    EXPECT_EQ(bytes["precision"], "fp32");
    EXPECT_NEAR(bytes["nll_mean"].get<double>(), want["nll_mean"].get<double>(), 1e-5);
    EXPECT_NEAR(bytes["kld_mean"].get<double>(), want["kld_mean"].get<double>(), 1e-5);
    // A store that keeps it in fp16 goes into a packed file as it is with --dtype f16.
    const std::string dense = *folder_ + "/dense.vq.h5";
    const std::string half = *folder_ + "/half.vqp";
    quantize(dense, "code=fp16");
    ASSERT_EQ(
        run_vq({"export", dense, "--to", "packed", "--dtype", "f16", "-o", half, "--quiet"}).code,
        0);
    const Json kept = eval(dense, "fp32");
    const Json got = eval(half, "fp32");
    EXPECT_NEAR(got["nll_mean"].get<double>(), kept["nll_mean"].get<double>(), 1e-5);
    EXPECT_NEAR(got["kld_mean"].get<double>(), kept["kld_mean"].get<double>(), 1e-5);
    EXPECT_LT(std::filesystem::file_size(packed()), std::filesystem::file_size(half));
}

TEST_F(Packed, EmbeddingsOfFewBitsAreLookedUpAndMultiplied) {
    for (const std::string bits : {"3", "5"}) {
        const std::string few = *folder_ + "/few" + bits + ".vq.h5";
        const std::string file = *folder_ + "/few" + bits + ".vqp";
        quantize(few, "bits=" + bits);
        ASSERT_EQ(run_vq({"export", few, "--to", "packed", "-o", file, "--quiet"}).code, 0);
        const Json want = eval(few, "fp32");
        const Json got = eval(file, "fp32");
        EXPECT_NEAR(got["nll_mean"].get<double>(), want["nll_mean"].get<double>(), 1e-5);
        EXPECT_NEAR(got["kld_mean"].get<double>(), want["kld_mean"].get<double>(), 1e-5);
        EXPECT_NEAR(eval(file, "auto")["nll_mean"].get<double>(), got["nll_mean"].get<double>(),
                    1e-2);
        EXPECT_LT(std::filesystem::file_size(file), std::filesystem::file_size(packed()));
        const test::Outcome text = run_vq({"generate", file, "--prompt", "The", "-n", "4"});
        EXPECT_EQ(text.code, 0) << text.err;
        EXPECT_EQ(run_vq({"verify", few}).code, 0);
    }
}

TEST_F(Packed, Int8IsTheDefaultAndCloseToExact) {
    const Json exact = eval(packed(), "fp32");
    const Json got = eval(packed(), "auto");
    EXPECT_EQ(got["precision"], "int8");
    EXPECT_NEAR(got["nll_mean"].get<double>(), exact["nll_mean"].get<double>(), 2e-3);
    EXPECT_NE(got["nll_mean"], exact["nll_mean"]);
}

TEST_F(Packed, GenerateWritesTheSameTextAndTellsItsBytes) {
    const Json exact =
        json_of({"generate", packed(), "--prompt", "Anna had", "-n", "12", "--precision", "fp32"});
    const Json from_store =
        json_of({"generate", store(), "--prompt", "Anna had", "-n", "12", "--precision", "fp32"});
    EXPECT_EQ(exact["text"], from_store["text"]);
    const Json fast = json_of({"generate", packed(), "--prompt", "Anna had", "-n", "12"});
    EXPECT_EQ(fast["precision"], "int8");
    // Two bits and scales for the layers, 8 for the head: far from 4 bytes a weight.
    EXPECT_LT(fast["bytes_per_token"].get<double>(),
              from_store["bytes_per_token"].get<double>() / 6);
    EXPECT_GT(fast["bytes_per_token"].get<double>(), 0);
}

struct MethodCase {
    const char* method;
    const char* bits;
    const char* scales;
    const char* code;  ///< of the packed layers
};

TEST_F(Packed, OtherCodesAreThoseOfTheStore) {
    const std::vector<MethodCase> cases = {{"quip-sharp", "3.2", "row", "e8p"},
                                           {"gptq", "3.2", "row", "grid"},
                                           {"gptq", "4.2", "group", "grid"}};
    for (const MethodCase& c : cases) {
        const std::string from = *folder_ + "/" + c.method + c.bits + ".vq.h5";
        const std::string to = *folder_ + "/" + c.method + c.bits + ".vqp";
        ASSERT_EQ(run_vq({"quantize",
                          tiny_model,
                          "--calib",
                          tiny_model + "/calib.txt",
                          "--calib-tokens",
                          "256",
                          "--method",
                          c.method,
                          "--bits",
                          c.bits,
                          "--set",
                          "refine.rounds=0",
                          "--set",
                          "scale.search=0",
                          "--set",
                          c.scales == std::string("group") ? "scale.group=128" : "scale.group=0",
                          "--set",
                          std::string("scale.scope=") + c.scales,
                          "-o",
                          from,
                          "--quiet"})
                      .code,
                  0);
        ASSERT_EQ(run_vq({"export", from, "--to", "packed", "-o", to, "--quiet"}).code, 0);
        const Json kernels =
            json_of({"bench", "kernels", to, "--seconds", "0", "--megabytes", "1"});
        std::set<std::string> codes;
        for (const Json& kernel : kernels["kernels"]) codes.insert(kernel["code"]);
        EXPECT_EQ(codes.count(c.code), 1u) << c.method;
        const double kld = eval(from, "fp32")["kld_mean"].get<double>();
        EXPECT_GT(kld, 0);
        EXPECT_NEAR(eval(to, "fp32")["kld_mean"].get<double>(), kld, 0.02 * kld) << c.method;
        EXPECT_NEAR(eval(to, "int8")["kld_mean"].get<double>(), kld, 0.1 * kld) << c.method;
    }
}

TEST_F(Packed, ExportToSafetensorsWorksFromAPackedFile) {
    const std::string dense = *folder_ + "/dense";
    EXPECT_EQ(run_vq({"export", packed(), "--to", "safetensors", "-o", dense, "--quiet"}).code, 0);
    EXPECT_TRUE(std::filesystem::exists(dense + "/model.safetensors"));
}

TEST_F(Packed, BenchPrintsTheKeysOfTheContract) {
    for (const std::vector<std::string>& what :
         {std::vector<std::string>{"bench", "kernels", packed(), "--seconds", "0", "--megabytes",
                                   "2"},
          {"bench", "kernels", "--shape", "70x256", "--code", "lut-2x8", "--code", "trellis-3",
           "--code", "e8p-3", "--code", "scalar-3", "--seconds", "0", "--megabytes", "1", "--batch",
           "2"}}) {
        const Json got = json_of(what);
        EXPECT_GT(got["bandwidth_gbps"].get<double>(), 0);
        ASSERT_FALSE(got["kernels"].empty());
        for (const Json& kernel : got["kernels"]) {
            for (const char* key : {"bits_per_weight", "rows", "cols", "batch", "threads",
                                    "gweights_per_s", "gbps", "bandwidth_share", "gflops"})
                EXPECT_GT(kernel.at(key).get<double>(), 0) << key;
            EXPECT_TRUE(kernel.at("code").is_string());
            EXPECT_TRUE(kernel.at("isa").is_string());
        }
    }
}

TEST_F(Packed, WhatCannotBeDoneIsSaidInOneLine) {
    const auto refused = [](const std::vector<std::string>& arguments, const char* why) {
        const test::Outcome outcome = run_vq(arguments);
        EXPECT_EQ(outcome.code, 1);
        EXPECT_THAT(outcome.err, testing::HasSubstr(why));
        EXPECT_THAT(outcome.err, testing::StartsWith("error: "));
    };
    const std::string sparse = *folder_ + "/sparse.vq.h5";
    ASSERT_EQ(run_vq({"quantize", tiny_model, "--calib", tiny_model + "/calib.txt",
                      "--calib-tokens", "256", "--method", "squeezellm", "--bits", "4.5", "--set",
                      "kmeans.iterations=2", "-o", sparse, "--quiet"})
                  .code,
              0);
    refused({"export", sparse, "--to", "packed", "-o", *folder_ + "/x.vqp", "--quiet"},
            "low-rank or sparse");
    refused({"export", store(), "--to", "packed", "--dtype", "bf16", "-o", *folder_ + "/x.vqp",
             "--quiet"},
            "--dtype bf16");
    refused({"export", store(), "--to", "safetensors", "--dtype", "int8", "-o", *folder_ + "/x",
             "--quiet"},
            "--dtype int8");
    refused({"export", tiny_model, "--to", "packed", "-o", *folder_ + "/x.vqp", "--quiet"},
            "only stores can be packed");
    refused({"generate", store(), "--prompt", "a", "--precision", "int8", "--quiet"},
            "int8 products need packed weights");
    refused({"bench", "kernels", "--code", "none", "--quiet"}, "unknown code");
    refused({"bench", "kernels", "--shape", "4096", "--quiet"}, "not a shape");
    const std::string cut = *folder_ + "/cut.vqp";
    std::filesystem::copy_file(packed(), cut);
    std::filesystem::resize_file(cut, 10000);
    refused({"generate", cut, "--prompt", "a", "--quiet"}, "the file has 10000 bytes");
}

}  // namespace
}  // namespace vq
