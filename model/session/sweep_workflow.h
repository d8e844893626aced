// SPDX-License-Identifier: Apache-2.0
// A sweep as a Snakemake workflow: an engine that runs points on several machines, repeats what
// died, and makes the results when all are there.
#pragma once

#include <string>
#include <vector>

#include "model/session/sweep.h"

namespace vq {

struct WorkflowOptions {
    std::string program = "vq";
    std::string description;  ///< path of the description that the rules name
    std::string folder;
    int threads = 1;  ///< of each point
};

/// The text of a Snakefile: a rule for the points, which asks for the memory and time of the
/// estimate, and one for the results. For Snakemake 7 and later.
std::string snakemake_workflow(const std::vector<PointNames>& names, const SweepForecast& forecast,
                               const WorkflowOptions& options);

/// Megabytes that a point should be given: the estimate and a fifth more.
std::int64_t point_megabytes(const SweepForecast::Point& point);

}  // namespace vq
