// SPDX-License-Identifier: Apache-2.0
// Second moments of every linear layer's inputs, collected once for many runs.
#pragma once

#include <string>

#include "base/json.h"
#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/hdf5/hessian_file.h"
#include "model/calibration_text.h"
#include "model/ops/linear.h"

namespace vq {

/// Runs `text` through `source` and writes the sums of every group of layers to the file `out`,
/// with the text's hash and token count added to `provenance`. The file is for the checkpoint that
/// the source stands for (WeightSource::origin_hash()). Throws Error when that is not known.
HessianTotals collect_hessians(const WeightSource& source, const std::string& model,
                               const CalibrationText& text, Precision precision,
                               const std::string& out, Json provenance, const Progress& progress);

}  // namespace vq
