// SPDX-License-Identifier: Apache-2.0
// A sweep carried out: point after point in one process, so that points share the checkpoint, the
// calibration text, the sums of the original layers' inputs and the reference's run on the texts.
//
// Everything lies in one folder and every file in it is whole or not there: stores/ (resumed tensor
// by tensor), points/ID.json with the figures of a point, and after every point results.csv,
// results.json and report.html. Whenever the process ends, the next one goes on where it was.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "model/session/sweep_point.h"

namespace vq {

struct SweepOptions {
    std::string folder;
    std::int64_t kept_sums = 0;  ///< as in SessionOptions
    std::string command;         ///< for results.json
};

/// A point of which something is known: its row, `done` of `total`, and whether an earlier run made
/// it.
using SweepRowCallback =
    std::function<void(const Json& row, std::size_t done, std::size_t total, bool earlier)>;

struct SweepReport {
    std::vector<Json> rows;  ///< of all points, in the order of the description
    std::size_t failed = 0;
    std::size_t earlier = 0;  ///< done by earlier runs
};

/// Carries out what is still to be done; a point that fails is a row with its error, and is tried
/// again by the next run. Throws Error when another process works in the folder, or the folder is not
/// a sweep's, and Cancelled when asked to stop.
SweepReport run_sweep(const SweepSpec& spec, const SweepOptions& options, const Progress& progress,
                      const SweepRowCallback& on_row);

/// Point `index` alone, beside other processes that make other points in the same folder (run_sweep()
/// then finds them done). Gives its row, which is in its file too, with "error" in it if it failed.
/// Throws Error when another process makes this point or runs the whole sweep.
Json run_sweep_point(const SweepSpec& spec, const SweepOptions& options, std::size_t index,
                     const Progress& progress);

/// Of all points. Throws Error when something that one of them reads cannot be read.
std::vector<PointNames> sweep_names(const SweepSpec& spec);

/// What a sweep will take, before it starts.
struct SweepForecast {
    struct Point {
        Json row;                    ///< what it is; "error" if it cannot be planned
        double bits_per_weight = 0;  ///< of the linear layers
        double model_bytes = 0;
        double seconds = 0;  ///< quantization and evaluation
        double peak_bytes = 0;
    };
    std::vector<Point> points;
    double seconds = 0;     ///< of all
    double peak_bytes = 0;  ///< the most of any
    double disk_bytes = 0;  ///< the most at a time
};

/// From measurements of a few seconds for each method and rate. Points that are done already count
/// too.
SweepForecast forecast_sweep(const SweepSpec& spec, const SweepOptions& options,
                             const Progress& progress);

}  // namespace vq
