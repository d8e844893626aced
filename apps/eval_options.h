// SPDX-License-Identifier: Apache-2.0
// The options of evaluation that `vq eval` and `vq compare` share, and how they open what they run.
#pragma once

#include <memory>
#include <string>

#include "apps/common.h"
#include "model/eval_windows.h"
#include "model/language_model.h"

namespace vq::apps {

struct EvalArguments {
    std::string precision;
    std::string protocol = "every-token";
    EvalOptions eval;

    /// With the protocol by its name.
    EvalOptions options() const;
};

/// --ctx, --max-tokens, --protocol and --precision.
void add_evaluation(CLI::App& command, EvalArguments& options);

/// Reads all weights of a source, for sequences of `positions` tokens, with a progress bar.
/// `precision` is a word of --precision.
std::unique_ptr<LanguageModel> load_for_eval(const WeightSource& source,
                                             const std::string& precision, Index positions,
                                             const Common& common);

/// What --precision means for the reference beside a model: it may be packed or not, as it likes.
std::string reference_precision(const std::string& precision, const WeightSource& reference);

}  // namespace vq::apps
