// SPDX-License-Identifier: Apache-2.0
// A plan for a file of a given size: the best split of its bytes between the linear layers and the
// tables of the vocabulary that is known before anything is measured, met from below.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "vq/run/plan.h"
#include "vq/run/recipe.h"

namespace vq {

/// Bytes of the whole file that a plan comes to.
using FileBytes = std::function<std::int64_t(const ModelPlan& plan)>;

struct FileSizePlan {
    ModelPlan plan;
    std::int64_t bytes = 0;  ///< of the file, as planned
    /// Bits a weight of the tables; 0: as the settings say, which were given.
    double embedding_bits = 0;
};

/// The plan of `method` with `assignments` on top whose file has at most `target` bytes. A method
/// whose code has rates gets them tensor by tensor, so that a few kB are left; others what their
/// whole bits allow. Tables of the vocabulary get so many bits a weight more or less than the
/// linear layers that a bit of either takes as much off the divergence, unless an assignment sets
/// embedding.*; what a recipe names has what that says. Throws Error when a size is among the
/// assignments too, and when the file cannot be so small (with the least that it can have).
FileSizePlan plan_file_size(const std::vector<TensorPlan>& tensors, const std::string& method,
                            const std::vector<std::string>& assignments, const Recipe& recipe,
                            std::int64_t target, const FileBytes& file_bytes);

/// "48MB", "45.8 MiB", "48000000": kB, MB, GB are powers of 1000 and KiB, MiB, GiB of 1024.
/// Throws Error for anything else.
std::int64_t parse_bytes(const std::string& text);

}  // namespace vq
