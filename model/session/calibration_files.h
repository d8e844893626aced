// SPDX-License-Identifier: Apache-2.0
// Calibration text as a run names it: files, how many tokens of them, and how long a window is.
#pragma once

#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"
#include "model/calibration_text.h"

namespace vq {

struct CalibrationFiles {
    std::vector<std::string> paths;  ///< of texts
    std::vector<std::string> chats;  ///< of conversations, JSON Lines
    Index tokens = 32768;            ///< of all files together, the same number of each
    Index ctx = 0;  ///< tokens a window; 0: 2048, or the model's maximum if that is less
};

/// Tokens a window; `model` names the model in errors. Throws Error when the files ask for more than
/// the model can take.
Index calibration_ctx(const CalibrationFiles& files, const ModelConfig& config,
                      const std::string& model);

/// Reads the files and cuts them into windows of the model's tokens. `model` names the model in
/// errors. Throws Error when a file cannot be read or holds no text, and when the window is longer
/// than the model can take.
CalibrationText load_calibration(const CalibrationFiles& files, const WeightSource& source,
                                 const std::string& model, const Progress& progress);

}  // namespace vq
