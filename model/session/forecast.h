// SPDX-License-Identifier: Apache-2.0
// What carrying out a plan will take: time from short measurements on this machine, memory from
// what the run holds at the same time.
#pragma once

#include <cstdint>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "model/ops/linear.h"
#include "vq/run/plan.h"

namespace vq {

/// The text of a run.
struct ForecastText {
    std::int64_t tokens = 0;  ///< 0: none flows, Hessians come from a file
    std::int64_t window = 0;  ///< tokens of a sequence
    Precision precision = Precision::fp32;
};

struct RunForecast {
    double text_seconds = 0;      ///< the text through the layers, and the sums over their inputs
    double quantize_seconds = 0;  ///< choosing codes, codebooks and factors counted
    double peak_bytes = 0;        ///< of memory, pages of the checkpoint's file not counted
    double seconds() const { return text_seconds + quantize_seconds; }
};

/// Quantizes four random tensors with the settings of the plan's linear layers, of the widths that
/// the model has (at most 1536) and up to 160 rows, and multiplies matrices: a few seconds. Uses
/// the threads that the run will have.
RunForecast forecast_run(const WeightSource& source, const ModelPlan& plan,
                         const ForecastText& text, std::uint64_t seed, const Progress& progress);

/// Memory alone, which needs no measurement.
double forecast_peak(const ModelConfig& config, const ModelPlan& plan, const ForecastText& text);

}  // namespace vq
