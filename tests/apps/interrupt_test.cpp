// SPDX-License-Identifier: Apache-2.0
// Ctrl-C, and going on afterwards.
#include <chrono>
#include <csignal>
#include <thread>

#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

namespace fs = std::filesystem;

std::size_t finished_parts(const std::string& store) {
    std::error_code none;
    std::size_t parts = 0;
    for (const auto& entry : fs::directory_iterator(store + ".parts", none))
        if (entry.path().extension() != ".tmp") ++parts;
    return parts;
}

/// A run of the tiny model that is long enough to be stopped in its middle.
std::vector<std::string> long_run(const std::string& store) {
    return {"quantize",       tiny_model, "-o",     store, "--calib", tiny_model + "/calib.txt",
            "--calib-tokens", "512",      "--bits", "2.5", "--set",   "refine.rounds=1",
            "--method",       "rvq",      "--quiet"};
}

/// Starts the run and sends `signal` once the first tensors are finished.
Outcome stop_in_the_middle(const TempFolder& folder, const std::string& store, int signal) {
    const pid_t child = start_vq(long_run(store), folder / "out", folder / "err");
    siginfo_t ended{};
    while (finished_parts(store) < 2 && ended.si_pid == 0) {
        waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    kill(child, signal);
    Outcome outcome;
    outcome.code = wait_for(child);
    outcome.err = read_bytes(folder / "err");
    return outcome;
}

TEST(Interrupt, StoppedRunGoesOnAndGivesTheSameStore) {
    const TempFolder folder;
    const std::string whole = folder / "whole.vq.h5";
    ASSERT_EQ(run_vq(long_run(whole)).code, 0);
    for (const int signal : {SIGINT, SIGTERM}) {
        const std::string store = folder / "stopped.vq.h5";
        expect_one_error(stop_in_the_middle(folder, store, signal), {"--resume"});
        EXPECT_FALSE(fs::exists(store));
        const std::size_t kept = finished_parts(store);
        EXPECT_GE(kept, 2U);

        auto resume = long_run(store);
        resume.push_back("--resume");
        const Outcome outcome = run_vq(resume);
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_TRUE(read_bytes(store) == read_bytes(whole)) << "the resumed store differs";
        EXPECT_FALSE(fs::exists(store + ".parts"));
        fs::remove(store);
    }
}

TEST(Interrupt, KilledRunGoesOnToo) {
    const TempFolder folder;
    const std::string store = folder / "killed.vq.h5";
    EXPECT_EQ(stop_in_the_middle(folder, store, SIGKILL).code, 128 + SIGKILL);
    EXPECT_FALSE(fs::exists(store));
    auto resume = long_run(store);
    resume.push_back("--resume");
    ASSERT_EQ(run_vq(resume).code, 0);
    EXPECT_EQ(run_vq({"verify", store}).code, 0);
}

TEST(Interrupt, PartsOfAnotherRunAreRefusedByName) {
    const TempFolder folder;
    const std::string store = folder / "stopped.vq.h5";
    stop_in_the_middle(folder, store, SIGINT);
    const auto before = listing(folder.path());
    // Without --resume, and with --resume but another seed.
    expect_one_error(run_vq(long_run(store)), {store, "--resume"});
    auto other = long_run(store);
    other.insert(other.end(), {"--resume", "--seed", "9"});
    expect_one_error(run_vq(other), {"model.layers.0."});
    EXPECT_EQ(listing(folder.path()), before);
}

}  // namespace
}  // namespace vq::test
