// SPDX-License-Identifier: Apache-2.0
// The calibration options that `vq quantize` and `vq hessian collect` share.
#pragma once

#include <string>
#include <vector>

#include "apps/common.h"
#include "model/calibration_text.h"

namespace vq::apps {

struct Calibration {
    std::vector<std::string> files;
    Index tokens = 32768;
    Index ctx = 0;  ///< 0: 2048, or the model's maximum if that is less
    std::string precision;
};

void add_calibration(CLI::App& command, Calibration& calibration, bool required);

/// Reads the files, cuts them into windows. `model` names the model in errors.
CalibrationText load_calibration(const Calibration& calibration, const WeightSource& source,
                                 const std::string& model, const Progress& progress);

}  // namespace vq::apps
