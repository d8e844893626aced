// SPDX-License-Identifier: Apache-2.0
// A run stops within a second wherever it is: in a feedback pass, in a refinement, in a training.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/vq/layer_fixture.h"
#include "vq/layer/quantize_layer.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::gaussian;
using test::hessian_of;
using Clock = std::chrono::steady_clock;

/// Asks a layer to stop after `work_ms`; seconds until it did, or < 0 when it was done before.
double seconds_to_stop(const Settings& s, Index rows, Index cols, int work_ms) {
    const Matrix w = gaussian(rows, cols, 1);
    const HessianSum sum = hessian_of(correlated_inputs(64, cols, 2));
    std::atomic<bool> stop{false};
    Clock::time_point asked;
    Progress progress;
    progress.cancelled = [&] { return stop.load(); };
    std::thread user([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(work_ms));
        asked = Clock::now();
        stop = true;
    });
    bool stopped = false;
    try {
        quantize_layer(w, sum, s, {}, 1, "w", progress);
    } catch (const Cancelled&) {
        stopped = true;
    }
    const Clock::time_point end = Clock::now();
    user.join();
    return stopped ? std::chrono::duration<double>(end - asked).count() : -1;
}

Settings sized(const std::string& method) {
    Settings s = preset_settings(method);
    s.code.scope = CodebookScope::tensor;
    s.code.grid = Grid::gaussian;
    s.code.rate = 2;
    return s;
}

TEST(Interrupt, InsideAFeedbackPass) {
    // 1,024 x 1,024 weights of a trellis: seconds of encoding, in few panels of many columns.
    const double seconds = seconds_to_stop(sized("qtip"), 1024, 1024, 300);
    ASSERT_GE(seconds, 0) << "the layer was done before it was asked to stop";
    EXPECT_LT(seconds, 1.0);
}

TEST(Interrupt, InsideARefinement) {
    Settings s = sized("quip-sharp");
    s.code.stage_bits = {16, 16};
    s.order = FeedbackOrder::none;  // soon in the sweeps
    s.refine.rounds = 100;
    s.refine.tolerance = 0;
    const double seconds = seconds_to_stop(s, 512, 512, 3000);
    ASSERT_GE(seconds, 0) << "the layer was done before it was asked to stop";
    EXPECT_LT(seconds, 1.0);
}

TEST(Interrupt, InsideTheTrainingOfACodebook) {
    Settings s = sized("gptvq");
    s.code.stage_bits = {12};
    s.code.kmeans.iterations = 1000;
    const double seconds = seconds_to_stop(s, 512, 512, 300);
    ASSERT_GE(seconds, 0) << "the layer was done before it was asked to stop";
    EXPECT_LT(seconds, 1.0);
}

TEST(Interrupt, InsideTheRoundsOverAllStages) {
    Settings s = sized("aqlm");
    s.code.stage_bits = {8, 8};
    s.code.kmeans.iterations = 1;
    s.code.kmeans.joint_rounds = 100;
    const double seconds = seconds_to_stop(s, 512, 512, 1500);
    ASSERT_GE(seconds, 0) << "the layer was done before it was asked to stop";
    EXPECT_LT(seconds, 1.0);
}

}  // namespace
}  // namespace vq
