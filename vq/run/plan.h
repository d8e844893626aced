// SPDX-License-Identifier: Apache-2.0
// A plan is what a run will do, as data: every tensor with its own settings. A preset makes one, an
// allocator is a function from plan to plan, quantize_model() carries one out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"
#include "vq/layer/settings.h"

namespace vq {

/// What a tensor is to the model.
enum class PlanRole {
    linear,    ///< a linear layer of a block: --bits counts these
    embedding  ///< the embedding or the head: a table with a row for each word of the vocabulary
};

/// How one tensor will be stored.
struct TensorPlan {
    std::string name;
    TensorShape shape;
    PlanRole role = PlanRole::linear;
    Index layer = -1;           ///< its block; -1: of none (embeddings)
    Index group = -1;           ///< of its block; tensors of a group read the same input
    Settings settings;          ///< complete: sized, and a scope that is not automatic
    bool makes_logits = false;  ///< of a table: the head, or an embedding that is the head too
    bool given = false;         ///< settings are its own, not those of all: a recipe named it
    double importance = 1;      ///< what an error of it costs, beside other tensors (share_rates.h)
};

/// All tensors that are not kept dense, in the order in which they are made: block after block,
/// group after group, then the embeddings.
struct ModelPlan {
    std::vector<TensorPlan> tensors;
    /// What was asked for, the same for all linear layers, before code.scope=auto was resolved.
    Settings settings;
    /// Whose codebooks serve the linear layers, as the preset chose for all of them.
    CodebookScope scope = CodebookScope::tensor;
    /// The store's file is to have at most so many bytes; 0: as it comes. Tensors with rates then
    /// make good for what those before them took more or less than planned.
    std::int64_t file_bytes = 0;
};

/// What a plan comes to on disk.
struct PlanSize {
    double linear_weights = 0;
    double linear_bits = 0;     ///< of the linear layers, shared codebooks counted once each
    double embedding_bits = 0;  ///< of the embeddings that are not kept dense
    double bits_per_weight() const { return linear_bits / linear_weights; }
};
PlanSize plan_size(const ModelPlan& plan);

/// Whether a table is rounded as it stands; else its codes are searched for as a layer's are.
bool is_rounded(const TensorPlan& tensor);

/// Bits of one tensor on disk: its own arrays, without shared codebooks.
double planned_bits(const TensorPlan& tensor);

/// Tensors that use the same shared codebooks: the same scope (and block, where that is the scope)
/// and the same settings.
struct SharingGroup {
    std::vector<std::size_t> tensors;  ///< indices into the plan
    double bits = 0;                   ///< of the codebooks, once
    double weights = 0;                ///< of the tensors
    /// What a weight of these tensors pays for the codebooks.
    double share() const { return weights > 0 ? bits / weights : 0; }
};
/// Of all tensors whose code has codebooks that are not their own, in the order of their first
/// tensors.
std::vector<SharingGroup> sharing_groups(const ModelPlan& plan);

/// The plan in which all linear layers have the settings `sized` and the embeddings are as
/// embedding.code says. The settings of `tensors` are not read.
ModelPlan uniform_plan(std::vector<TensorPlan> tensors, const Settings& sized);

/// The plan of one method for `tensors` (their settings are not read): the preset with
/// `assignments` ("part.key=value") on top, sized to `bits` a weight of the linear layers. `bits`
/// 0: as the settings say, else the preset's default. Throws Error when settings do not go together
/// or the budget is too small.
ModelPlan plan_preset(std::vector<TensorPlan> tensors, const std::string& method,
                      const std::vector<std::string>& assignments, double bits);

/// Throws Error where a tensor's settings do not go together (check_settings).
void check_plan(const ModelPlan& plan);

/// "tensor", "layer", "model" or "universal".
const char* scope_name(CodebookScope scope);

}  // namespace vq
