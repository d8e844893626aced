// SPDX-License-Identifier: Apache-2.0
// Perplexity of a model on a text, and its divergence from a reference: another model that runs
// beside it, one that ran before and whose hidden states were kept, or a table of its likeliest
// tokens.
#pragma once

#include <span>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "model/eval_statistics.h"
#include "model/eval_windows.h"
#include "model/language_model.h"
#include "model/reference_table.h"

namespace vq {

/// What a model is compared with. Empty: nothing.
struct EvalReference {
    const LanguageModel* model = nullptr;
    /// What keep_states() gave for `model` and the same text; null: the model is run.
    const Matrix* states = nullptr;
    /// Instead of a model: of the same text.
    const ReferenceTable* table = nullptr;

    bool is_given() const { return model != nullptr || table != nullptr; }
};

struct EvalResult {
    Index tokens = 0;  ///< losses (a window of ctx tokens has ctx - 1)
    Index windows = 0;
    Index ctx = 0;
    double nll_mean = 0;    ///< nats
    double nll_stderr = 0;  ///< of nll_mean, taking tokens as independent
    /// Of nll_mean, taking only windows as independent (tokens of one window are correlated, so
    /// this is the more honest one); 0 with a single window.
    double nll_stderr_windows = 0;
    double perplexity = 0;  ///< exp(nll_mean)

    bool has_reference = false;
    double reference_perplexity = 0;
    double kld_mean = 0;    ///< KL(reference || model), nats a token
    double kld_stderr = 0;  ///< taking tokens as independent
    double kld_stderr_windows = 0;
    double kld_median = 0;
    double kld_p90 = 0;
    double kld_p99 = 0;
    double kld_p999 = 0;
    double kld_max = 0;
    double top1_agreement = 0;  ///< share of tokens at which both models' first choice is the same
    double top5_agreement = 0;  ///< share with the reference's first choice among the model's five
    /// Share of tokens where one model's first choice is the text's token and the other's is not
    /// (arXiv 2407.09141): the model's alone, and the reference's alone.
    double flips_gained = 0;
    double flips_lost = 0;

    std::vector<WindowSums> by_window;

    double seconds = 0;
    double tokens_per_second = 0;
};

/// Runs the model, and the reference if there is one, over the windows. Same bits at any number of
/// threads. Throws Error when the vocabularies differ.
EvalResult evaluate(const LanguageModel& model, const EvalReference& reference,
                    const EvalText& text, const Progress& progress);

/// The same from tokens, see eval_text(). `reference` may be null.
EvalResult evaluate(const LanguageModel& model, const LanguageModel* reference,
                    std::span<const TokenId> tokens, const EvalOptions& options,
                    const Progress& progress);

/// What the model's head reads where tokens of the text count, (losses, hidden_size). A reference
/// that is compared with several models runs once this way, its head alone for each of them, and
/// results are those of a reference that runs, bit for bit.
Matrix keep_states(const LanguageModel& model, const EvalText& text, const Progress& progress);

/// The model's `k` likeliest tokens at every place that counts and `m` of the others; `result`, where it is not null, is
/// what evaluate() would say of the model alone.
ReferenceTable reference_table(const LanguageModel& model, const EvalText& text, Index k, Index m,
                               const Progress& progress, EvalResult* result = nullptr);

/// The keys of `vq eval --json`.
Json to_json(const EvalResult& result);

}  // namespace vq
