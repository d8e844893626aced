// SPDX-License-Identifier: Apache-2.0
#include "apps/eval_options.h"

#include "apps/progress_bar.h"

namespace vq::apps {

EvalOptions EvalArguments::options() const {
    EvalOptions options = eval;
    if (protocol == "llamacpp") options.protocol = EvalProtocol::llamacpp;
    return options;
}

void add_evaluation(CLI::App& command, EvalArguments& options) {
    command
        .add_option("--ctx", options.eval.ctx,
                    "tokens a window (default: 2048, llamacpp 512, or the model's maximum if that "
                    "is less)")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");
    command
        .add_option("--max-tokens", options.eval.max_tokens,
                    "use only the first N tokens of the text (default: all)")
        ->check(CLI::Range(2, 1 << 30))
        ->type_name("N");
    command
        .add_option("--protocol", options.protocol,
                    "which tokens count: every-token (all but the first of each window), or "
                    "llamacpp (the second half of each whole window, as its perplexity program)")
        ->check(CLI::IsMember({"every-token", "llamacpp"}))
        ->capture_default_str()
        ->type_name("NAME");
    add_precision(command, options.precision);
}

std::unique_ptr<LanguageModel> load_for_eval(const WeightSource& source,
                                             const std::string& precision, Index positions,
                                             const Common& common) {
    ProgressBar bar(common, "layers");
    return std::make_unique<LanguageModel>(source, chosen_precision(precision, source), positions,
                                           bar.progress());
}

std::string reference_precision(const std::string& precision, const WeightSource& reference) {
    return precision == "int8" && reference.packed() == nullptr ? "auto" : precision;
}

}  // namespace vq::apps
