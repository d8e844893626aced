// SPDX-License-Identifier: Apache-2.0
#include "model/session/forecast.h"

#include <gtest/gtest.h>

#include "model/session/quantize_model.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

ModelPlan plan_of(const WeightSource& source, const std::string& method) {
    return plan_preset(model_tensors(source), method, {}, 4);
}

TEST(Forecast, TimeIsTextAndTensorsTogether) {
    const test::MemorySource source = test::random_model(test::tiny_llama(), 1);
    const ModelPlan plan = plan_of(source, "rvq");
    const Progress quiet;
    const RunForecast with_text =
        forecast_run(source, plan, {.tokens = 4096, .window = 256}, 0, quiet);
    EXPECT_GT(with_text.text_seconds, 0);
    EXPECT_GT(with_text.quantize_seconds, 0);
    EXPECT_EQ(with_text.seconds(), with_text.text_seconds + with_text.quantize_seconds);
    EXPECT_EQ(forecast_run(source, plan, {}, 0, quiet).text_seconds, 0);
}

TEST(Forecast, MemoryGrowsByTheStreamAndByWhatIsKeptOfABlock) {
    const ModelConfig config = test::tiny_llama();
    const test::MemorySource source = test::random_model(config, 1);
    const ModelPlan plan = plan_of(source, "rvq");
    const auto peak = [&](std::int64_t tokens) {
        return forecast_peak(config, plan, {.tokens = tokens, .window = 256});
    };
    const double floats = 40 + 72;  // the stream, and the inside of the MLP
    EXPECT_EQ(peak(200000) - peak(100000), 4 * floats * 100000);
    // The inside of the MLP is not kept where it is too large; what the mixer gives always is.
    EXPECT_GT(peak(4000000), peak(1500000));
}

TEST(Forecast, CorrectingForDriftKeepsTheTextTwice) {
    const ModelConfig config = test::tiny_llama();
    const test::MemorySource source = test::random_model(config, 1);
    const ForecastText text = {.tokens = 100000, .window = 256};
    const double once = forecast_peak(config, plan_of(source, "rvq"), text);
    const double twice = forecast_peak(config, plan_of(source, "best"), text);
    EXPECT_GE(twice - once, 4 * (40 + 72) * 100000.0);
}

}  // namespace
}  // namespace vq
