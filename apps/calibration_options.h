// SPDX-License-Identifier: Apache-2.0
// The calibration options that `vq quantize` and `vq hessian collect` share.
#pragma once

#include <string>
#include <vector>

#include "apps/common.h"
#include "model/session/calibration_files.h"

namespace vq::apps {

struct CalibrationArguments {
    CalibrationFiles files;
    std::string precision;
};

void add_calibration(CLI::App& command, CalibrationArguments& options);
/// All files to calibrate with.
std::vector<std::string> calibration_inputs(const CalibrationArguments& options);
/// Whether there is something to calibrate with.
bool has_calibration(const CalibrationArguments& options);

}  // namespace vq::apps
