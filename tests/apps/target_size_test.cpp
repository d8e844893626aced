// SPDX-License-Identifier: Apache-2.0
// --target-size: the whole file at most as large as was asked for, and hardly less.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "base/json.h"
#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

using testing::HasSubstr;

class TargetSize : public testing::Test {
protected:
    void SetUp() override {
        const std::string text = read_bytes(tiny_model + "/calib.txt").substr(0, 4000);
        write_bytes(folder_ / "calib.txt", text);
    }
    std::vector<std::string> arguments(const std::string& size, const std::string& method) const {
        return {"quantize", tiny_model, "--calib",        folder_ / "calib.txt",
                "--method", method,     "--target-size",  size,
                "--json",   "--set",    "encoder.tail=16"};
    }
    Json run(std::vector<std::string> arguments) const {
        const Outcome outcome = run_vq(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return outcome.code == 0 ? Json::parse(outcome.out) : Json();
    }
    Json quantize(const std::string& size, const std::string& method) const {
        std::vector<std::string> all = arguments(size, method);
        all.insert(all.end(), {"-o", folder_ / "out.vq.h5"});
        std::filesystem::remove(folder_ / "out.vq.h5");
        return run(all);
    }

    TempFolder folder_;
};

TEST_F(TargetSize, TrellisAndGridsMeetItFromBelowWithinAFewKilobytes) {
    for (const auto& [method, targets] : std::map<std::string, std::vector<std::int64_t>>{
             {"best", {380'000, 450'000}}, {"qtip", {420'000}}, {"cvxq-grid", {380'000, 523'456}}})
        for (const std::int64_t target : targets) {
            const Json done = quantize(std::to_string(target), method);
            ASSERT_FALSE(done.is_null()) << method << target;
            const auto bytes =
                static_cast<std::int64_t>(std::filesystem::file_size(folder_ / "out.vq.h5"));
            EXPECT_EQ(done["file_bytes"], bytes);
            EXPECT_LE(bytes, target) << method;
            // A column more of a tensor is 1/4 kB here, and what is kept back does not depend on the
            // size of the model: 6 x 640 bytes for runs of columns of the last layer, as much for
            // those of the table, and two of HDF5's blocks of 2,048.
            EXPECT_GE(bytes, target - 12'000) << method;
        }
}

TEST_F(TargetSize, CoarseMethodsStayBelowAndGiveTheirRestToTheEmbedding) {
    for (const std::string method : {"gptq", "rvq"}) {
        const Json done = quantize("600kB", method);
        ASSERT_FALSE(done.is_null()) << method;
        EXPECT_LE(done["file_bytes"], 600'000);
        EXPECT_GE(done["file_bytes"], 580'000) << method;
        // As foretold, to the byte.
        std::vector<std::string> dry = arguments("600kB", method);
        dry.emplace_back("--dry-run");
        EXPECT_EQ(run(dry)["file_bytes"], done["file_bytes"]);
    }
}

TEST_F(TargetSize, GivenEmbeddingsStayAsTheyAre) {
    std::vector<std::string> all = arguments("0.75MB", "best");
    all.insert(all.end(), {"--set", "embedding.code=int8", "--dry-run"});
    const Json plan = run(all);
    EXPECT_NEAR(plan["embeddings"][0]["bits_per_weight"].get<double>(), 8.5, 0.01);
    EXPECT_LE(plan["file_bytes"], 750'000);
}

TEST_F(TargetSize, TooSmallASizeNamesTheLeast) {
    const Outcome outcome = run_vq(arguments("100kB", "best"));
    EXPECT_NE(outcome.code, 0);
    std::vector<std::string> all = arguments("100kB", "best");
    all.emplace_back("--dry-run");
    const Outcome dry = run_vq(all);
    EXPECT_EQ(dry.code, 1);
    EXPECT_THAT(dry.err, HasSubstr("the file cannot be so small: --target-size 100000"));
    const std::string words = "the least it can have with this method is ";
    const std::size_t at = dry.err.find(words);
    ASSERT_NE(at, std::string::npos) << dry.err;
    const std::string least = std::to_string(std::stoll(dry.err.substr(at + words.size())));
    EXPECT_LE(quantize(least, "best")["file_bytes"].get<std::int64_t>(), std::stoll(least));
}

TEST_F(TargetSize, RecipesAreFollowedAndPrintedBack) {
    write_bytes(folder_ / "r.yaml",
                "layers.0.mlp.down_proj: {bits: 4.3}\n"
                "layers.1.*:\n"
                "  method: finequant\n"
                "embedding: {embedding.bits: 4}\n");
    const std::string store = folder_ / "cooked.vq.h5";
    const std::vector<std::string> common = {
        "quantize", tiny_model, "--calib",  folder_ / "calib.txt", "--method", "gptq",
        "--bits",   "3.3",      "--recipe", folder_ / "r.yaml",    "--json"};
    std::vector<std::string> all = common;
    all.emplace_back("--dry-run");
    const Json dry = run(all);
    all = common;
    all.insert(all.end(), {"-o", store});
    const Json done = run(all);
    ASSERT_EQ(dry["recipe"].size(), 3U);
    EXPECT_EQ(dry["recipe"][1]["pattern"], "layers.1.*");
    EXPECT_EQ(dry["bits_per_weight"], done["bits_per_weight"]);
    // All but the runs of columns of the embedding's trellis.
    EXPECT_NEAR(dry["file_bytes"].get<double>(), done["file_bytes"].get<double>(), 8000);

    const Json inspect = run({"inspect", store, "--json"});
    EXPECT_EQ(inspect["provenance"]["recipe"], dry["recipe"]);
    EXPECT_EQ(inspect["audit"]["unexplained"], 0);
    for (const Json& t : inspect["tensors"]) {
        const std::string name = t["name"];
        if (name == "model.layers.0.mlp.down_proj.weight")
            EXPECT_EQ(t["spec"]["segments"][0]["stage_bits"], Json({4}));
        if (name == "model.layers.0.mlp.up_proj.weight")
            EXPECT_EQ(t["spec"]["segments"][0]["stage_bits"], Json({3}));
        if (name.starts_with("model.layers.1.mlp.up")) EXPECT_EQ(t["spec"]["method"], "finequant");
        if (name.find("embed") != std::string::npos) EXPECT_EQ(t["spec"]["code"], "trellis");
    }
    EXPECT_THAT(run_vq({"inspect", store}).out,
                HasSubstr("recipe:\n  layers.0.mlp.down_proj: bits=4.3\n"));

    const std::string packed = folder_ / "cooked.vqp";
    ASSERT_EQ(run_vq({"export", store, "--to", "packed", "-o", packed, "-q"}).code, 0);
    const Json audit = run({"inspect", packed, "--json"})["audit"];
    EXPECT_EQ(audit["unexplained"], 0);
    EXPECT_EQ(audit["file_bytes"].get<std::uintmax_t>(), std::filesystem::file_size(packed));
    EXPECT_GT(audit["kinds"]["codes"], 0);

    write_bytes(folder_ / "bad.yaml", "layers.9.*: {bits: 4}\n");
    all = common;
    all[9] = folder_ / "bad.yaml";
    all.emplace_back("--dry-run");
    const Outcome bad = run_vq(all);
    EXPECT_EQ(bad.code, 1);
    EXPECT_THAT(bad.err, HasSubstr("bad.yaml: line 1: layers.9.*"));
}

TEST_F(TargetSize, OneSizeIsEnough) {
    std::vector<std::string> all = arguments("1MB", "best");
    all.insert(all.end(), {"--bits", "2", "--dry-run"});
    EXPECT_EQ(run_vq(all).code, 2);
    all = arguments("1MB", "best");
    all.insert(all.end(), {"--set", "code.rate=2", "--dry-run"});
    EXPECT_THAT(run_vq(all).err, HasSubstr("the size is given twice"));
    for (const char* size : {"48Mb", "MB", "-1", "0", "1e30", "48 MBs", ""})
        EXPECT_EQ(run_vq(arguments(size, "best")).code, 2) << size;
}

}  // namespace
}  // namespace vq::test
