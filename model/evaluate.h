// SPDX-License-Identifier: Apache-2.0
// Perplexity and divergence on text, the protocol of `vq eval`: the tokens are cut into windows of
// `ctx` without overlap; each window starts afresh and yields the losses of all its tokens but the
// first. A shorter last window counts if it has at least two tokens.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "model/language_model.h"

namespace vq {

struct EvalOptions {
    Index ctx = 0;         ///< tokens a window; 0: 2048, or the model's maximum where that is less
    Index max_tokens = 0;  ///< use only this many tokens of the text; 0: all
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
    double kld_mean = 0;  ///< KL(reference || model), nats a token
    double kld_stderr = 0;
    double kld_median = 0;
    double kld_p99 = 0;
    double top1_agreement = 0;  ///< share of tokens

    double seconds = 0;
    double tokens_per_second = 0;
};

/// The window length that `options` mean for this model; throws Error when it is below 2 or longer
/// than the model can take.
Index eval_ctx(const EvalOptions& options, const ModelConfig& config);

/// Ids of a text as evaluation takes them (no special tokens added). `where` names the text in
/// errors. Throws Error when it has fewer than two tokens.
std::vector<TokenId> eval_tokens(const Tokenizer& tokenizer, std::string_view text,
                                 const std::string& where);

/// Runs the model, and the reference if there is one, over the windows. Same bits at any number of
/// threads. Throws Error when there are fewer than two tokens or the vocabularies differ.
EvalResult evaluate(const LanguageModel& model, const LanguageModel* reference,
                    std::span<const TokenId> tokens, const EvalOptions& options,
                    const Progress& progress);

/// The keys of `vq eval --json`.
Json to_json(const EvalResult& result);

}  // namespace vq
