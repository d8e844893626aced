// SPDX-License-Identifier: Apache-2.0
// vq sweep: what it makes is what single runs make, whatever happens to it meanwhile.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>
#include <sstream>

#include "base/json.h"
#include "base/rng.h"
#include "model/session/sweep_results.h"
#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

using testing::HasSubstr;

using Table = std::vector<std::map<std::string, std::string>>;

/// A table without quotes in it.
Table read_csv(const std::string& path) {
    std::istringstream lines(read_bytes(path));
    const auto cells = [](const std::string& line) {
        std::vector<std::string> list(1);
        for (const char c : line)
            if (c == ',')
                list.emplace_back();
            else
                list.back() += c;
        return list;
    };
    std::string line;
    std::getline(lines, line);
    const std::vector<std::string> names = cells(line);
    Table table;
    while (std::getline(lines, line)) {
        const std::vector<std::string> values = cells(line);
        EXPECT_EQ(values.size(), names.size()) << line;
        table.emplace_back();
        for (std::size_t i = 0; i < names.size(); ++i) table.back()[names[i]] = values[i];
    }
    return table;
}

/// Without what differs from run to run.
Table lasting(Table table) {
    for (auto& row : table)
        for (const std::string& name : varying_columns()) row.erase(name);
    return table;
}

class Sweep : public testing::Test {
protected:
    static void SetUpTestSuite() {
        models_ = new TempFolder;
        one_block_model(model());
        whole_ = new TempFolder;
        write_bytes(*whole_ / "a.yaml", description("keep_stores: true\n"));
        outcome_ = new Outcome(
            run_vq({"sweep", *whole_ / "a.yaml", "-o", *whole_ / "out", "--json", "--quiet"}));
    }
    static void TearDownTestSuite() {
        delete outcome_;
        delete whole_;
        delete models_;
    }
    static std::string model() { return *models_ / "model"; }
    static std::string heldout() { return tiny_model + "/heldout.txt"; }
    static std::string calib() { return tiny_model + "/calib.txt"; }
    /// Four points.
    static std::string description(const std::string& more = "") {
        return "model: " + model() +
               "\nmethod: [rvq, gptq]\nbits: 3\nseed: [0, 1]\nprecision: fp32\n"
               "set: {refine.rounds: 1}\n"
               "calibration: {text: " +
               calib() + ", tokens: 1024}\nevaluation: {text: " + heldout() +
               ", ctx: 128, max_tokens: 1000}\n" + more;
    }
    Outcome sweep(const std::string& text, const std::vector<std::string>& more = {}) {
        write_bytes(folder_ / "a.yaml", text);
        std::vector<std::string> arguments = {"sweep", folder_ / "a.yaml", "-o", out(), "--quiet"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run_vq(arguments);
    }
    std::string out() const { return folder_ / "out"; }

    static TempFolder* models_;
    static TempFolder* whole_;  ///< a sweep of four points that kept its stores
    static Outcome* outcome_;
    TempFolder folder_;
};
TempFolder* Sweep::models_ = nullptr;
TempFolder* Sweep::whole_ = nullptr;
Outcome* Sweep::outcome_ = nullptr;

/// Words of a command without quotes in it, but for the program.
std::vector<std::string> words_of(const std::string& command) {
    std::istringstream stream(command);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    words.erase(words.begin());
    return words;
}

TEST_F(Sweep, PointsAreWhatTheirCommandsMake) {
    ASSERT_EQ(outcome_->code, 0) << outcome_->err;
    const Json json = Json::parse(outcome_->out);
    ASSERT_EQ(json["points"].size(), 4U);
    EXPECT_EQ(json["failed"], 0);
    for (const Json& point : json["points"]) {
        std::vector<std::string> quantize = words_of(point["command"]);
        ASSERT_EQ(quantize[2], "-o");
        const std::string kept = quantize[3];
        quantize[3] = folder_ / "by-hand.vq.h5";
        quantize.insert(quantize.end(), {"--json", "--quiet"});
        const Outcome made = run_vq(quantize);
        ASSERT_EQ(made.code, 0) << made.err;
        EXPECT_TRUE(read_bytes(quantize[3]) == read_bytes(kept)) << point["command"];
        const Json by_hand = Json::parse(made.out);
        for (const char* key : {"bits_per_weight", "model_bytes", "file_bytes"})
            EXPECT_EQ(point[key], by_hand[key]) << key;
        EXPECT_NEAR(point["rel_proxy"].get<double>(), by_hand["rel_proxy"].get<double>(), 1e-9);
        ASSERT_EQ(point["texts"].size(), 1U);
        const Json& text = point["texts"][0];
        std::vector<std::string> eval = words_of(text["command"]);
        eval.insert(eval.end(), {"--json", "--quiet"});
        const Outcome evaluated = run_vq(eval);
        ASSERT_EQ(evaluated.code, 0) << evaluated.err;
        const Json figures = Json::parse(evaluated.out);
        for (const char* key : {"perplexity", "nll_stderr_windows", "kld_mean", "kld_p99",
                                "kld_stderr_windows", "top1_agreement", "flips_lost", "tokens"})
            EXPECT_EQ(text[key], figures[key]) << key;
        std::filesystem::remove(quantize[3]);
    }
}

TEST_F(Sweep, TheTableHasALineForEveryPoint) {
    const Table table = read_csv(*whole_ / "out/results.csv");
    ASSERT_EQ(table.size(), 4U);
    EXPECT_EQ(table[0].at("method"), "rvq");
    EXPECT_EQ(table[1].at("seed"), "1");
    EXPECT_EQ(table[2].at("method"), "gptq");
    std::set<std::string> names;
    for (const auto& row : table) {
        names.insert(row.at("point"));
        EXPECT_EQ(row.at("set.refine.rounds"), "1");
        EXPECT_EQ(row.at("text"), heldout());
        EXPECT_GT(std::stod(row.at("kld_mean")), 0);
        EXPECT_GT(std::stod(row.at("quantize_seconds")), 0);
        EXPECT_GT(std::stod(row.at("peak_rss_bytes")), 1e6);
        EXPECT_EQ(row.at("error"), "");
    }
    EXPECT_EQ(names.size(), 4U);
    const Json json = Json::parse(read_bytes(*whole_ / "out/results.json"));
    EXPECT_EQ(json["points"].size(), 4U);
    EXPECT_EQ(json["sweep"]["bits"], 3);
    EXPECT_EQ(json["precision"], "fp32");
}

TEST_F(Sweep, WhatIsDoneIsNotDoneAgain) {
    const std::string before = read_bytes(*whole_ / "out/results.csv");
    const Outcome again =
        run_vq({"sweep", *whole_ / "a.yaml", "-o", *whole_ / "out", "--json", "--quiet"});
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(Json::parse(again.out)["done_before"], 4);
    EXPECT_EQ(read_bytes(*whole_ / "out/results.csv"), before);
}

TEST_F(Sweep, KilledAtAnyMomentItGoesOnToTheSameTable) {
    const Table expected = lasting(read_csv(*whole_ / "out/results.csv"));
    write_bytes(folder_ / "a.yaml", description());
    const std::vector<std::string> arguments = {"sweep", folder_ / "a.yaml", "-o", out(),
                                                "--quiet"};
    int killed = 0;
    for (std::uint64_t round = 0; round < 5; ++round) {
        const pid_t child = start_vq(arguments, folder_ / "o", folder_ / "e");
        // The first before anything can be done, the later ones anywhere, on a slow machine or a fast
        // one: up to 10 ms, 40 ms, ... 2.6 s.
        const auto most = std::uint64_t{10'000} << (2 * round);
        usleep(static_cast<useconds_t>(random_bits(5, round) % most));
        kill(child, SIGKILL);
        killed += wait_for(child) == 128 + SIGKILL ? 1 : 0;
    }
    EXPECT_GE(killed, 1);
    const Outcome last = run_vq(arguments);
    ASSERT_EQ(last.code, 0) << last.err;
    EXPECT_EQ(lasting(read_csv(out() + "/results.csv")), expected);
    EXPECT_TRUE(std::filesystem::is_empty(out() + "/stores"));
}

TEST_F(Sweep, APointThatFailsIsARow) {
    const Outcome outcome = sweep("model: " + model() + "\nmethod: gptq\nbits: [0.3, 3]\n" +
                                  "calibration: {text: " + calib() + ", tokens: 512}\n");
    EXPECT_EQ(outcome.code, 1);
    EXPECT_THAT(outcome.err, HasSubstr("error: 1 of 2 points failed: "));
    const Table table = read_csv(out() + "/results.csv");
    ASSERT_EQ(table.size(), 2U);
    EXPECT_THAT(table[0].at("error"), HasSubstr("budget is too small"));
    EXPECT_EQ(table[1].at("error"), "");
    EXPECT_GT(std::stod(table[1].at("bits_per_weight")), 2);
    EXPECT_EQ(table[1].at("perplexity"), "");  // nothing was to be evaluated
}

TEST_F(Sweep, InputThatIsMissingFailsItsPointsOnly) {
    const Outcome outcome =
        sweep("model: [" + model() + ", " + (folder_ / "nothing") +
              "]\nmethod: gptq\nbits: 3\ncalibration: {text: " + calib() + ", tokens: 512}\n");
    EXPECT_EQ(outcome.code, 1);
    const Table table = read_csv(out() + "/results.csv");
    ASSERT_EQ(table.size(), 2U);
    EXPECT_EQ(table[0].at("error"), "");
    EXPECT_THAT(table[1].at("error"), HasSubstr("nothing"));
}

TEST_F(Sweep, OneFolderHasOneProcess) {
    write_bytes(folder_ / "a.yaml", description());
    const pid_t child = start_vq({"sweep", folder_ / "a.yaml", "-o", out(), "--quiet"},
                                 folder_ / "o", folder_ / "e");
    for (int i = 0; i < 500 && !std::filesystem::exists(out() + "/points"); ++i) usleep(10'000);
    expect_one_error(run_vq({"sweep", folder_ / "a.yaml", "-o", out(), "--quiet"}),
                     {out(), "another process works here"});
    kill(child, SIGKILL);
    wait_for(child);
    std::filesystem::create_directory(folder_ / "other");
    write_bytes(folder_ / "other/file", "");
    expect_one_error(run_vq({"sweep", folder_ / "a.yaml", "-o", folder_ / "other", "--quiet"}),
                     {"other files"});
}

TEST_F(Sweep, ADryRunForetellsAndWritesNothing) {
    const Outcome outcome =
        sweep(description("exclude: {method: gptq, seed: 1}\n"), {"--dry-run", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(out()));
    const Json json = Json::parse(outcome.out);
    ASSERT_EQ(json["points"].size(), 3U);
    const Json done = Json::parse(outcome_->out);
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_DOUBLE_EQ(json["points"][i]["bits_per_weight"].get<double>(),
                         done["points"][i]["bits_per_weight"].get<double>());
    EXPECT_GT(json["predicted_seconds"].get<double>(), 0);
    EXPECT_GT(json["predicted_peak_bytes"].get<double>(), 1e6);
    EXPECT_GT(json["predicted_disk_bytes"].get<double>(),
              json["points"][0]["model_bytes"].get<double>());
}

TEST_F(Sweep, PointsMadeByProcessesOfTheirOwnAreTheSame) {
    const Outcome prepared = sweep(description(), {"--prepare", "--json"});
    ASSERT_EQ(prepared.code, 0) << prepared.err;
    const Json list = Json::parse(prepared.out);
    ASSERT_EQ(list["points"].size(), 4U);
    EXPECT_GT(list["points"][0]["megabytes"].get<int>(), 10);
    const std::string frozen = list["description"];
    std::vector<pid_t> children;
    for (int i = 3; i >= 0; --i)
        children.push_back(
            start_vq({"sweep", frozen, "-o", out(), "--point-index", std::to_string(i), "--quiet"},
                     folder_ / ("o" + std::to_string(i)), folder_ / ("e" + std::to_string(i))));
    for (const pid_t child : children) EXPECT_EQ(wait_for(child), 0);
    const Outcome last = run_vq({"sweep", frozen, "-o", out(), "--json", "--quiet"});
    ASSERT_EQ(last.code, 0) << last.err;
    EXPECT_EQ(Json::parse(last.out)["done_before"], 4);
    EXPECT_EQ(lasting(read_csv(out() + "/results.csv")),
              lasting(read_csv(*whole_ / "out/results.csv")));
    expect_one_error(run_vq({"sweep", frozen, "-o", out(), "--point-index", "4", "--quiet"}),
                     {"no such point", "--point-index 4"});
}

TEST_F(Sweep, AWorkflowGivesTheSameTable) {
    const Outcome written = sweep(description(), {"--workflow", "snakemake", "--json"});
    ASSERT_EQ(written.code, 0) << written.err;
    const std::string snakefile = Json::parse(written.out)["workflow"];
    EXPECT_THAT(read_bytes(snakefile), HasSubstr("retries: 2"));
    if (std::system("command -v snakemake >/dev/null 2>&1") != 0)
        GTEST_SKIP() << "snakemake is not installed";
    const std::string run = "cd " + folder_.path() + " && snakemake --nolock -q -s " + snakefile +
                            " --cores 2 >snakemake.log 2>&1";
    ASSERT_EQ(std::system(run.c_str()), 0) << read_bytes(folder_ / "snakemake.log");
    EXPECT_EQ(lasting(read_csv(out() + "/results.csv")),
              lasting(read_csv(*whole_ / "out/results.csv")));
    EXPECT_TRUE(std::filesystem::exists(out() + "/report.html"));
}

TEST_F(Sweep, FaultsOfTheDescriptionAreNamed) {
    const std::string base = "model: " + model() + "\ncalibration: " + calib() + "\n";
    for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
             {base + "bit: 3\n", "\"bit\" is not known"},
             {base + "bits: many\n", "\"bits\""},
             {base + "method: magic\n", "magic"},
             {base + "set: {no.such: 1}\n", "no.such"},
             {base + "set: {feedback.order: up}\n", "feedback.order"},
             {base + "seed: -1\n", "\"seed\""},
             {base + "evaluation: {ctx: 128}\n", "\"text\" is missing"},
             {base + "exclude: {hessian: x}\n", "hessian"},
             {"calibration: " + calib() + "\n", "\"model\" is missing"},
             {"model: " + model() + "\n", "\"calibration\" is missing"},
             {base + "bits: []\n", "empty list"},
             {base + "seed: 0\nexclude: {seed: 0}\n", "leaves no run"},
             {base + "bits: [1\n", "line"}})
        expect_one_error(sweep(text), {part});
    EXPECT_FALSE(std::filesystem::exists(out()));
}

}  // namespace
}  // namespace vq::test
