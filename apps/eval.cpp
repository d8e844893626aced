// SPDX-License-Identifier: Apache-2.0
// vq eval: perplexity of a model or a store on a text, and how far it is from a reference model.
#include <fmt/format.h>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/files/text_input.h"
#include "model/evaluate.h"

namespace vq::apps {
namespace {

struct Options {
    std::string model;
    std::string text;
    std::string reference;
    std::string precision;
    std::string protocol = "every-token";
    EvalOptions eval;
};

std::unique_ptr<LanguageModel> load(const WeightSource& source, const Options& options,
                                    Index positions, const Common& common) {
    ProgressBar bar(common, "layers");
    return std::make_unique<LanguageModel>(source, chosen_precision(options.precision, source),
                                           positions, bar.progress());
}

std::string describe(const EvalResult& r, EvalProtocol protocol) {
    // Tokens of a window are not independent, windows nearly are; llama.cpp's own errors are those
    // of tokens.
    const bool by_window = r.windows > 1 && protocol != EvalProtocol::llamacpp;
    const double error = by_window ? r.nll_stderr_windows : r.nll_stderr;
    std::string text =
        fmt::format("perplexity      {:.4f} +- {:.4f}\n", r.perplexity, r.perplexity * error);
    text += fmt::format("loss            {:.5f} +- {:.5f} nats a token\n", r.nll_mean, error);
    if (r.has_reference) {
        text += fmt::format("reference       perplexity {:.4f}\n", r.reference_perplexity);
        text += fmt::format("KL divergence   {:.5f} +- {:.5f} nats a token\n", r.kld_mean,
                            by_window ? r.kld_stderr_windows : r.kld_stderr);
        text += fmt::format(
            "  quantiles     50% {:.5f}, 90% {:.4f}, 99% {:.4f}, 99.9% {:.4f}, largest {:.3f}\n",
            r.kld_median, r.kld_p90, r.kld_p99, r.kld_p999, r.kld_max);
        text += fmt::format("same top token  {:.2f}% of places; among the model's five {:.2f}%\n",
                            100 * r.top1_agreement, 100 * r.top5_agreement);
        text += fmt::format("flips           {:.2f}% right tokens lost, {:.2f}% gained\n",
                            100 * r.flips_lost, 100 * r.flips_gained);
    }
    text += fmt::format("tokens          {} in {} windows of {}, {:.1f} s, {:.0f} tokens/s\n",
                        r.tokens, r.windows, r.ctx, r.seconds, r.tokens_per_second);
    return text;
}

Answer run(const Options& given, const Common& common) {
    Options options = given;
    if (options.protocol == "llamacpp") options.eval.protocol = EvalProtocol::llamacpp;
    // Everything that can be wrong with the input is found before weights are read.
    const std::string text = read_text(options.text);
    const auto source = open_model_or_store(options.model, common);
    const auto tokenizer = load_tokenizer(source->tokenizer_files(), options.model);
    show_notes(tokenizer->notes(), common);
    const std::vector<TokenId> tokens =
        eval_tokens(*tokenizer, text, options.text, options.eval.protocol);
    if (options.eval.protocol == EvalProtocol::llamacpp)
        options.eval.begin = begin_token(*tokenizer);
    const Index ctx = eval_ctx(options.eval, source->config());
    std::unique_ptr<WeightSource> reference_source;
    if (!options.reference.empty())
        reference_source = open_model_or_store(options.reference, common);

    const auto model = load(*source, options, ctx, common);
    std::unique_ptr<LanguageModel> reference;
    if (reference_source) {
        Options of_reference = options;  // which may be packed or not, as it likes
        if (options.precision == "int8" && reference_source->packed() == nullptr)
            of_reference.precision = "auto";
        reference = load(*reference_source, of_reference, ctx, common);
    }

    ProgressBar bar(common, "tokens");
    const EvalResult result =
        evaluate(*model, reference.get(), tokens, options.eval, bar.progress());

    Answer answer;
    answer.document = to_json(result);
    answer.document["model"] = options.model;
    if (reference) answer.document["reference"] = options.reference;
    answer.document["text"] = options.text;
    answer.document["protocol"] = options.protocol;
    answer.document["precision"] = precision_name(chosen_precision(options.precision, *source));
    answer.document["peak_rss_bytes"] = peak_rss_bytes();
    answer.text = describe(result, options.eval.protocol);
    return answer;
}

}  // namespace

void add_eval(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        app, invocation, "eval", "perplexity on a text; distance from a reference model",
        "vq eval model-2bit.vq.h5 --text heldout.txt --ref models/SmolLM2", no_random_numbers);
    command
        ->add_option("MODEL", options->model, "a store, a packed file, a HF folder or a GGUF file")
        ->required();
    command->add_option("--text", options->text, "the text to predict")
        ->required()
        ->type_name("FILE");
    command
        ->add_option("--ref", options->reference,
                     "a model or store to compare with: KL divergence, top-1 agreement")
        ->type_name("MODEL");
    command
        ->add_option("--ctx", options->eval.ctx,
                     "tokens a window (default: 2048, llamacpp 512, or the model's maximum if that "
                     "is less)")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");
    command
        ->add_option("--max-tokens", options->eval.max_tokens,
                     "use only the first N tokens of the text (default: all)")
        ->check(CLI::Range(2, 1 << 30))
        ->type_name("N");
    command
        ->add_option("--protocol", options->protocol,
                     "which tokens count: every-token (all but the first of each window), or "
                     "llamacpp (the second half of each whole window, as its perplexity program)")
        ->check(CLI::IsMember({"every-token", "llamacpp"}))
        ->capture_default_str()
        ->type_name("NAME");
    add_precision(*command, options->precision);
    command->callback([options, &invocation] {
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
