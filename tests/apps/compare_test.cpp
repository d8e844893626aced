// SPDX-License-Identifier: Apache-2.0
// vq compare, and references that are kept in a file.
#include <gmock/gmock.h>

#include "base/json.h"
#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

using testing::HasSubstr;

/// A model and two stores of it, the second with more bits, made once.
class CompareModels : public testing::Test {
protected:
    static void SetUpTestSuite() {
        folder_ = new TempFolder;
        one_block_model(model());
        ASSERT_EQ(run_vq(quick_quantize(model(), coarse())).code, 0);
        std::vector<std::string> finer = quick_quantize(model(), fine());
        *std::find(finer.begin(), finer.end(), "2.5") = "3.5";
        ASSERT_EQ(run_vq(finer).code, 0);
    }
    static void TearDownTestSuite() { delete folder_; }
    static std::string model() { return *folder_ / "model"; }
    static std::string coarse() { return *folder_ / "coarse.vq.h5"; }
    static std::string fine() { return *folder_ / "fine.vq.h5"; }
    static std::string heldout() { return tiny_model + "/heldout.txt"; }
    static std::string calib() { return tiny_model + "/calib.txt"; }
    static Json json_of(std::vector<std::string> arguments) {
        arguments.insert(arguments.end(),
                         {"--json", "--quiet", "--max-tokens", "1500", "--precision", "fp32"});
        const Outcome outcome = run_vq(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(outcome.err, "");
        return Json::parse(outcome.out);
    }
    static TempFolder* folder_;
};
TempFolder* CompareModels::folder_ = nullptr;

TEST_F(CompareModels, FiguresAreThoseOfEvalAndTheDifferenceIsTheirs) {
    const Json json =
        json_of({"compare", coarse(), fine(), "--ref", model(), "--text", heldout(), calib()});
    ASSERT_EQ(json["texts"].size(), 2U);
    for (const Json& text : json["texts"]) {
        double kl[2];
        for (const auto& [path, key, i] :
             {std::tuple(coarse(), "a", 0), std::tuple(fine(), "b", 1)}) {
            const Json one = json_of(
                {"eval", path, "--ref", model(), "--text", text["text"].get<std::string>()});
            EXPECT_NEAR(text[key]["kld_mean"].get<double>(), one["kld_mean"].get<double>(), 1e-12);
            EXPECT_NEAR(text[key]["nll_mean"].get<double>(), one["nll_mean"].get<double>(), 1e-12);
            EXPECT_NEAR(text[key]["kld_stderr_windows"].get<double>(),
                        one["kld_stderr_windows"].get<double>(), 1e-12);
            EXPECT_EQ(text["windows"], one["windows"]);
            kl[i] = one["kld_mean"];
        }
        const Json& difference = text["kld_difference"];
        EXPECT_NEAR(difference["mean"].get<double>(), kl[1] - kl[0], 1e-12);
        EXPECT_LT(difference["high"].get<double>(), 0) << "more bits are better";
        EXPECT_LT(difference["low"].get<double>(), difference["mean"].get<double>());
    }
    EXPECT_EQ(json["all"]["tokens"],
              json["texts"][0]["tokens"].get<int>() + json["texts"][1]["tokens"].get<int>());
    EXPECT_FALSE(json.contains("floor_precision"));
}

TEST_F(CompareModels, TheFloorIsFarBelowACompressedModel) {
    const Json json =
        json_of({"compare", coarse(), fine(), "--ref", model(), "--text", heldout(), "--floor"});
    EXPECT_EQ(json["floor_precision"], "bf16");
    const double floor = json["all"]["floor_kld_mean"];
    EXPECT_GT(floor, 0);
    EXPECT_LT(floor, 0.05 * json["all"]["b"]["kld_mean"].get<double>());
}

TEST_F(CompareModels, AModelIsNotBetterThanItself) {
    const Json json = json_of({"compare", fine(), fine(), "--text", heldout()});
    EXPECT_EQ(json["all"]["nll_difference"]["mean"], 0.0);
    EXPECT_EQ(json["all"]["nll_difference"]["stderr"], 0.0);
    EXPECT_FALSE(json["all"].contains("kld_difference"));
    const Outcome text =
        run_vq({"compare", fine(), fine(), "--text", heldout(), "--max-tokens", "600", "--quiet"});
    EXPECT_THAT(text.out, HasSubstr("no difference"));
}

TEST_F(CompareModels, OneWindowHasNoInterval) {
    const Outcome outcome = run_vq(
        {"compare", coarse(), fine(), "--text", heldout(), "--max-tokens", "200", "--quiet"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, HasSubstr("one window: no interval"));
}

TEST_F(CompareModels, OtherTokensAreRefused) {
    const std::string other = one_block_model(*folder_ / "other");
    std::string tokenizer = read_bytes(other + "/tokenizer.json");
    const std::string merges = "\"merges\"";
    const std::size_t list = tokenizer.find('[', tokenizer.find(merges));
    const std::size_t end = tokenizer.rfind(']');
    ASSERT_NE(list, std::string::npos);
    tokenizer.replace(list, end - list + 1, "[]");
    write_bytes(other + "/tokenizer.json", tokenizer);
    expect_one_error(run_vq({"compare", model(), other, "--text", heldout(), "--quiet"}),
                     {heldout(), "other tokens"});
    EXPECT_EQ(run_vq({"compare", fine(), coarse(), "--text", heldout(), "--floor"}).code, 2);
}

TEST_F(CompareModels, ASavedReferenceStandsForTheModel) {
    const std::string saved = *folder_ / "reference.h5";
    const Json whole = json_of({"eval", coarse(), "--text", heldout(), "--ref", model()});
    const Json save =
        json_of({"eval", model(), "--text", heldout(), "--save-ref", saved, "--ref-top", "100000"});
    EXPECT_EQ(save["saved_bytes"], std::filesystem::file_size(saved));
    EXPECT_EQ(save["reference_rest"], 0.0);
    EXPECT_NEAR(save["perplexity"].get<double>(), whole["reference_perplexity"].get<double>(),
                1e-6);
    const Json all = json_of({"eval", coarse(), "--text", heldout(), "--ref-cache", saved});
    EXPECT_NEAR(all["kld_mean"].get<double>(), whole["kld_mean"].get<double>(), 1e-5);
    EXPECT_EQ(all["top1_agreement"], whole["top1_agreement"]);
    EXPECT_EQ(all["reference_saved"]["model"], model());

    json_of({"eval", model(), "--text", heldout(), "--save-ref", saved});  // with the usual size
    const Json usual = json_of({"eval", coarse(), "--text", heldout(), "--ref-cache", saved});
    EXPECT_NEAR(usual["kld_mean"].get<double>(), whole["kld_mean"].get<double>(),
                0.02 * whole["kld_mean"].get<double>());
    std::filesystem::remove(saved);
}

TEST_F(CompareModels, ASavedReferenceIsRefusedForWhatItIsNotOf) {
    const std::string saved = *folder_ / "reference.h5";
    json_of({"eval", model(), "--text", heldout(), "--save-ref", saved, "--ctx", "128"});
    const auto eval = [&](const std::vector<std::string>& more) {
        std::vector<std::string> arguments = {"eval", coarse(), "--ref-cache", saved, "--quiet"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run_vq(arguments);
    };
    const std::vector<std::string> same = {"--text", heldout(), "--max-tokens", "1500"};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), same.begin(), same.end());
        return more;
    };
    EXPECT_EQ(eval(with({"--ctx", "128"})).code, 0);
    expect_one_error(eval(with({"--ctx", "64"})), {saved, "another length", "--ctx 128"});
    expect_one_error(eval(with({"--ctx", "128", "--protocol", "llamacpp"})),
                     {saved, "another protocol"});
    expect_one_error(eval({"--text", heldout(), "--max-tokens", "1400", "--ctx", "128"}),
                     {saved, "another text"});
    expect_one_error(eval({"--text", calib(), "--max-tokens", "1500", "--ctx", "128"}),
                     {saved, "another text"});
    EXPECT_EQ(eval(with({"--ref", model()})).code, 2);
    EXPECT_EQ(run_vq({"eval", model(), "--text", heldout(), "--ref-top", "5"}).code, 2);
    std::filesystem::remove(saved);
}

TEST_F(CompareModels, ADamagedReferenceIsRefusedOrHarmless) {
    const std::string saved = *folder_ / "reference.h5";
    json_of({"eval", model(), "--text", heldout(), "--save-ref", saved, "--ref-top", "4"});
    const std::string bytes = read_bytes(saved);
    const Json good = json_of({"eval", coarse(), "--text", heldout(), "--ref-cache", saved});
    int refused = 0;
    constexpr int places = 16;
    for (int i = 0; i < places; ++i) {
        std::string changed = bytes;
        changed[(2 * static_cast<std::size_t>(i) + 1) * bytes.size() / (2 * places)] ^= 16;
        write_bytes(saved, changed);
        const Outcome outcome =
            run_vq({"eval", coarse(), "--text", heldout(), "--ref-cache", saved, "--max-tokens",
                    "1500", "--precision", "fp32", "--json", "--quiet"});
        if (outcome.code != 0) {
            ++refused;
            expect_one_error(outcome, {"reference.h5"});
        } else {
            EXPECT_EQ(Json::parse(outcome.out)["kld_mean"], good["kld_mean"]) << "place " << i;
        }
    }
    EXPECT_GE(refused, places / 2);
    write_bytes(saved, bytes.substr(0, bytes.size() / 2));
    expect_one_error(run_vq({"eval", coarse(), "--text", heldout(), "--ref-cache", saved,
                             "--max-tokens", "1500", "--quiet"}),
                     {"reference.h5"});
    std::filesystem::remove(saved);
}

}  // namespace
}  // namespace vq::test
