// SPDX-License-Identifier: Apache-2.0
// What a sweep is to do, as data: runs that differ in some of their settings, and texts on which all
// of them are evaluated. People write it as YAML (docs/sweeps.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "model/eval_windows.h"
#include "model/session/calibration_files.h"
#include "vq/run/plan.h"

namespace vq {

/// One run of quantization.
struct SweepPoint {
    std::string model;
    std::string method;
    std::optional<double> bits;                            ///< none: the method's own
    std::vector<std::pair<std::string, std::string>> set;  ///< "part.key" and value
    std::uint64_t seed = 0;
    std::string hessians;  ///< "quantized", "original" or a Hessian file
    CalibrationFiles calibration;

    bool hessians_from_file() const { return hessians != "quantized" && hessians != "original"; }
    /// "part.key=value" of every setting.
    std::vector<std::string> assignments() const;
    ModelPlan plan(std::vector<TensorPlan> tensors) const;
};

struct SweepEvaluation {
    std::vector<std::string> texts;
    EvalOptions options;
    bool reference = true;  ///< the divergence from the model that was compressed too
};

struct SweepSpec {
    std::vector<SweepPoint> points;  ///< none twice
    SweepEvaluation evaluation;
    std::string precision = "auto";  ///< of the products: a word of --precision
    bool keep_stores = false;
    Json source;  ///< as it was read
};

/// Reads a description; `where` names it in errors. Throws Error that names the key when one is
/// unknown, missing or not what it should be, a method or a setting does not exist, or no run is
/// left.
SweepSpec parse_sweep(const Json& description, const std::string& where);

/// The keys of a point in results.json, and how parse_sweep() names them.
Json to_json(const SweepPoint& point);

}  // namespace vq
