// SPDX-License-Identifier: Apache-2.0
// Perplexity and divergence on text: the tokens are cut into windows of `ctx` without overlap, and
// each window starts afresh. Which of their tokens count is the protocol's affair.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "model/language_model.h"

namespace vq {

/// every_token: all tokens of a window but the first count, and a shorter last window too if it has
/// at least two tokens. llamacpp: as the perplexity program of llama.cpp does: only whole windows,
/// the first token of each replaced by the one that begins a text (if the tokenizer puts one
/// there), the tokens of the second half count, from the second of that half on.
enum class EvalProtocol : std::uint8_t { every_token, llamacpp };

struct EvalOptions {
    /// Tokens a window; 0: 2048 (llamacpp: 512), or the model's maximum where that is less.
    Index ctx = 0;
    Index max_tokens = 0;  ///< use only this many tokens of the text; 0: all
    EvalProtocol protocol = EvalProtocol::every_token;
    TokenId begin = -1;  ///< the token that llamacpp puts first; below 0: none
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

    double seconds = 0;
    double tokens_per_second = 0;
};

/// The window length that `options` mean for this model; throws Error when it is below 2 or longer
/// than the model can take.
Index eval_ctx(const EvalOptions& options, const ModelConfig& config);

/// Ids of a text as evaluation takes them (without special tokens; with them for llamacpp).
/// `where` names the text in errors. Throws Error when it has fewer than two tokens.
std::vector<TokenId> eval_tokens(const Tokenizer& tokenizer, std::string_view text,
                                 const std::string& where,
                                 EvalProtocol protocol = EvalProtocol::every_token);

/// The token that the tokenizer puts before a text; -1 if it puts none.
TokenId begin_token(const Tokenizer& tokenizer);

/// Runs the model, and the reference if there is one, over the windows. Same bits at any number of
/// threads. Throws Error when there are fewer than two tokens (llamacpp: two windows) or the
/// vocabularies differ.
EvalResult evaluate(const LanguageModel& model, const LanguageModel* reference,
                    std::span<const TokenId> tokens, const EvalOptions& options,
                    const Progress& progress);

/// The keys of `vq eval --json`.
Json to_json(const EvalResult& result);

}  // namespace vq
