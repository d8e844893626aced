// SPDX-License-Identifier: Apache-2.0
// Codebooks that more than one tensor of a plan uses, trained (or taken from the library) at first
// use, before any Hessian is known.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/files/array.h"
#include "vq/layer/quantize_layer.h"
#include "vq/run/plan.h"

namespace vq {

/// Seed of everything random about one tensor, or about the tensors of a group.
std::uint64_t seed_of(std::uint64_t seed, const std::string& name);

/// What the codebooks of a scope are called, "layer.3" or "model"; with "-2" and so on where a plan
/// has tensors of several settings that each share some. `taken`: those that are named already.
std::string shared_label(const TensorPlan& first, const std::map<std::string, Array>& taken);
inline constexpr const char* outliers_suffix = ".outliers";

class SharedCodebooks {
public:
    /// `source` and `plan` must outlive it.
    SharedCodebooks(const WeightSource& source, const ModelPlan& plan, std::uint64_t seed);

    /// The codes for tensor `i` of the plan; empty where it has its own. Asked for in the plan's
    /// order: codes whose last tensor lies before `i` are let go. Valid until the next call.
    const SharedCodes& of(std::size_t i, const Progress& progress);
    /// What a weight of tensor `i` pays for them.
    double share_of(std::size_t i) const;
    /// Those that the store must hold, by name: all that of() has given so far.
    const std::map<std::string, Array>& arrays() const { return arrays_; }

private:
    SharedCodes make(const SharingGroup& group, const Progress& progress);
    CodePtr train(const SharingGroup& group, const CodeSettings& code, const Progress& progress);

    const WeightSource& source_;
    const ModelPlan& plan_;
    std::uint64_t seed_;
    std::vector<SharingGroup> groups_;
    std::vector<int> group_of_;  ///< of tensor i; -1: none
    std::map<int, SharedCodes> codes_;
    SharedCodes none_;
    std::map<std::string, Array> arrays_;
};

}  // namespace vq
