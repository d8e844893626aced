// SPDX-License-Identifier: Apache-2.0
// Carries out a plan: block after block, group after group, each layer's Hessian from text that
// went through what is already quantized; every finished tensor goes to the store at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/families/linear_groups.h"
#include "io/hdf5/store.h"
#include "model/layer_walk.h"
#include "model/session/expert_report.h"
#include "vq/run/plan.h"

namespace vq {

/// The tensors of a model that a plan is for, their settings still empty: linear layers by block and
/// group (of linear_groups()), then the embedding and, where it is not tied, the head.
std::vector<TensorPlan> model_tensors(const WeightSource& source);

/// Where Hessians come from: a walk (text flows, through the quantized prefix or through the
/// original layers), or a function (a Hessian file). Exactly one of the two is set.
struct HessianSource {
    LayerWalk* walk = nullptr;
    bool quantized_prefix = true;
    std::function<HessianSum(const LinearGroup&)> lookup = {};
    /// With a walk through the quantized prefix: what the head of the original model reads.
    std::function<HessianSum()> original_head = {};
};

struct TensorReport {
    std::string name;
    Index rows = 0;
    Index cols = 0;
    std::string method;
    double bits_per_weight = 0;  ///< shared codebooks' share included
    double rel_mse = 0;
    double rel_proxy = 0;
    double refine_gain = 0;  ///< share of the proxy loss that the refiner took away
    double seconds = 0;
    Index dead_columns = 0;
    bool never_seen = false;
    double damping = 0;
    bool resumed = false;  ///< taken from an earlier run's parts
};

struct QuantizeReport {
    double bits_per_weight = 0;  ///< all bits of the linear layers over their weights
    double rel_mse = 0;          ///< means over the linear layers' weights
    double rel_proxy = 0;
    CodebookScope scope = CodebookScope::universal;
    std::vector<TensorReport> tensors;     ///< linear layers
    std::vector<TensorReport> embeddings;  ///< the embedding and the head, where they are coded
    std::vector<ExpertReport> experts;     ///< of blocks with a mixture that text went through
};

/// Everything that must match for a part of an earlier run to be reused. content_hash: the
/// source's.
std::string run_fingerprint(const std::string& content_hash, const ModelPlan& plan,
                            const std::string& calibration_hash, bool quantized_prefix,
                            std::uint64_t seed);

/// Writes every tensor of `source` through `store`: those of the plan coded as it says, the rest
/// dense (tables of the vocabulary as fp16, all else as fp32), and finishes it with `meta`. Text
/// flows through the original embedding. Throws Cancelled when asked to stop; finished parts then
/// stay for a resumed run.
QuantizeReport quantize_model(const WeightSource& source, const HessianSource& hessians,
                              const ModelPlan& plan, std::uint64_t seed, StoreMeta meta,
                              StoreWriter& store, const Progress& progress);

}  // namespace vq
