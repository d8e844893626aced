// SPDX-License-Identifier: Apache-2.0
// What a point of a sweep is called and how it is made by hand: names are hashes of all that its
// results depend on, by content and not by path, so that a result is found again exactly when it is
// still true.
#pragma once

#include <string>

#include "model/session/sweep_spec.h"

namespace vq {

/// Hashes of what a point reads, and the precision that "auto" came to.
struct PointInputs {
    std::string model_hash;
    std::string calibration_hash;  ///< of the texts' bytes, or of the Hessian file
    std::string texts_hash;        ///< of the evaluation texts' bytes
    std::string precision;
};

struct PointNames {
    std::string store;  ///< of what is quantized, 16 hexadecimal digits
    std::string point;  ///< of that and of how it is evaluated
};
PointNames point_names(const SweepPoint& point, const SweepEvaluation& evaluation,
                       const PointInputs& inputs);

/// Hash of the bytes of files, in order. Throws Error when one cannot be read.
std::string files_hash(const std::vector<std::string>& paths);

/// What `vq quantize` writes into a store of its own of how it was made: the command without the
/// output.
std::string quantize_provenance(const SweepPoint& point, const std::string& precision);

/// The commands that make a point's store and evaluate it on one text, for a shell.
std::string quantize_command(const SweepPoint& point, const std::string& precision,
                             const std::string& store);
std::string eval_command(const SweepPoint& point, const SweepEvaluation& evaluation,
                         const std::string& precision, const std::string& store,
                         const std::string& text);

}  // namespace vq
