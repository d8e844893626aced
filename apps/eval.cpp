// SPDX-License-Identifier: Apache-2.0
// vq eval: perplexity of a model or a store on a text, and how far it is from a reference model.
#include <fmt/format.h>

#include <filesystem>

#include "apps/common.h"
#include "apps/eval_options.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/files/output_checks.h"
#include "io/files/text_input.h"
#include "model/evaluate.h"
#include "model/session/reference_cache.h"
#include "model/tasks.h"

namespace vq::apps {
namespace {

/// Of the tokens that are not among the likeliest, enough that nothing is seen of the sampling.
constexpr Index sampled_tokens = 32;

struct Options {
    std::string model;
    std::string text;
    std::string reference;
    std::string reference_cache;
    std::string save_reference;
    Index kept_tokens = 64;
    std::string tasks;
    bool begin = false;
    EvalArguments evaluation;
};

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

Answer answer_of(const EvalResult& result, const Options& options, const WeightSource& source,
                 const EvalText& text) {
    Answer answer;
    answer.document = to_json(result);
    answer.document["model"] = options.model;
    answer.document["text"] = options.text;
    answer.document["protocol"] = options.evaluation.protocol;
    answer.document["precision"] =
        precision_name(chosen_precision(options.evaluation.precision, source));
    answer.document["peak_rss_bytes"] = peak_rss_bytes();
    answer.text = describe(result, text.protocol);
    return answer;
}

/// Runs the model alone and keeps what it predicts.
Answer save_reference(const Options& options, const WeightSource& source, const EvalText& text,
                      const Common& common) {
    check_can_write(options.save_reference, {options.model, options.text});
    const std::string& precision = options.evaluation.precision;
    const auto model = load_for_eval(source, precision, text.ctx, common);
    ProgressBar bar(common, "tokens");
    EvalResult result;
    const ReferenceTable table =
        reference_table(*model, text, options.kept_tokens, sampled_tokens, bar.progress(), &result);
    Answer answer = answer_of(result, options, source, text);
    write_reference_cache(options.save_reference, table, text,
                          {{"model", options.model},
                           {"text", options.text},
                           {"precision", answer.document["precision"]},
                           {"vqkit", VQKIT_VERSION}});
    const auto bytes =
        static_cast<std::int64_t>(std::filesystem::file_size(options.save_reference));
    answer.document["saved_reference"] = options.save_reference;
    answer.document["saved_bytes"] = bytes;
    answer.document["reference_tokens"] = table.k;
    answer.document["reference_rest"] = table.mean_rest();
    answer.text += fmt::format(
        "saved           {}: {}, {} likeliest tokens of each place, {:.4f} of the probability in "
        "the rest\n",
        options.save_reference, format_bytes(static_cast<double>(bytes)), table.k,
        table.mean_rest());
    return answer;
}

/// Questions in place of a text.
Answer answer_questions(const Options& options, const Common& common) {
    const std::vector<TaskQuestion> questions =
        parse_tasks(read_text(options.tasks), options.tasks);
    const auto source = open_model_or_store(options.model, common);
    const auto tokenizer = load_tokenizer(source->tokenizer_files(), options.model);
    show_notes(tokenizer->notes(), common);
    const TokenId begin = options.begin ? begin_token(*tokenizer) : -1;
    const TaskBatch batch =
        encode_tasks(questions, *tokenizer, begin, source->config().max_position);
    const std::string& precision = options.evaluation.precision;
    const auto model = load_for_eval(*source, precision, batch.longest, common);
    ProgressBar bar(common, "choices");
    const TaskResult result = run_tasks(*model, batch, bar.progress());
    Answer answer;
    answer.document = to_json(result);
    answer.document["shortened"] = batch.shortened;
    answer.document["model"] = options.model;
    answer.document["tasks"] = options.tasks;
    answer.document["precision"] = precision_name(chosen_precision(precision, *source));
    answer.document["seconds"] = seconds_since_start();
    answer.document["peak_rss_bytes"] = peak_rss_bytes();
    answer.text = fmt::format(
        "accuracy            {:.4f} +- {:.4f}\nby character        {:.4f} +- {:.4f}\n"
        "questions           {}\n",
        result.accuracy, result.accuracy_stderr, result.accuracy_norm, result.accuracy_norm_stderr,
        result.questions);
    if (batch.shortened > 0)
        answer.text += fmt::format(
            "{} choices have prompts that are longer than the model can take\n", batch.shortened);
    return answer;
}

Answer run(const Options& options, const Common& common) {
    if (!options.tasks.empty()) return answer_questions(options, common);
    // Everything that can be wrong with the input is found before weights are read.
    const std::string content = read_text(options.text);
    const auto source = open_model_or_store(options.model, common);
    const auto tokenizer = load_tokenizer(source->tokenizer_files(), options.model);
    show_notes(tokenizer->notes(), common);
    const EvalText text = eval_text(*tokenizer, content, options.text, options.evaluation.options(),
                                    source->config());
    std::unique_ptr<WeightSource> reference_source;
    if (!options.reference.empty())
        reference_source = open_model_or_store(options.reference, common);

    ReferenceCache cache;
    if (!options.reference_cache.empty())
        cache = read_reference_cache(options.reference_cache, text, source->config().vocab_size);
    if (!options.save_reference.empty()) return save_reference(options, *source, text, common);

    const std::string& precision = options.evaluation.precision;
    const auto model = load_for_eval(*source, precision, text.ctx, common);
    std::unique_ptr<LanguageModel> other;
    if (reference_source)
        other = load_for_eval(*reference_source, reference_precision(precision, *reference_source),
                              text.ctx, common);
    EvalReference reference{.model = other.get()};
    if (!options.reference_cache.empty()) reference.table = &cache.table;

    ProgressBar bar(common, "tokens");
    const EvalResult result = evaluate(*model, reference, text, bar.progress());

    Answer answer = answer_of(result, options, *source, text);
    if (other) answer.document["reference"] = options.reference;
    if (reference.table != nullptr) {
        answer.document["reference_cache"] = options.reference_cache;
        answer.document["reference_saved"] = cache.provenance;
        answer.document["reference_tokens"] = cache.table.k;
        answer.document["reference_rest"] = cache.table.mean_rest();
        answer.text += fmt::format(
            "reference from  {}: {} likeliest tokens of each place, {:.4f} of the probability in "
            "the rest\n",
            options.reference_cache, cache.table.k, cache.table.mean_rest());
    }
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
    CLI::Option* text =
        command->add_option("--text", options->text, "the text to predict")->type_name("FILE");
    CLI::Option* tasks =
        command
            ->add_option("--tasks", options->tasks,
                         "questions in place of a text, a JSON object {\"prompt\": ..., "
                         "\"choices\": [...], \"answer\": INDEX} a line: accuracy, and accuracy by "
                         "likelihood a character, as lm-evaluation-harness counts them")
            ->excludes(text)
            ->type_name("FILE.jsonl");
    command
        ->add_flag("--begin", options->begin,
                   "with --tasks: the token that begins a text before every prompt")
        ->needs(tasks);
    command
        ->add_option("--ref", options->reference,
                     "a model or store to compare with: KL divergence, top-1 agreement")
        ->type_name("MODEL");
    command
        ->add_option("--save-ref", options->save_reference,
                     "keep what MODEL predicts on the text in a file, for --ref-cache")
        ->type_name("FILE");
    command
        ->add_option("--ref-top", options->kept_tokens,
                     "with --save-ref: the likeliest tokens of each place that are kept, 12 bytes "
                     "each; of all others the sum of their probabilities and a sample of 32")
        ->check(CLI::Range(1, 1 << 20))
        ->needs("--save-ref")
        ->capture_default_str()
        ->type_name("K");
    command
        ->add_option(
            "--ref-cache", options->reference_cache,
            "a file of --save-ref, in place of --ref: the same text, windows and protocol; "
            "the divergence is an estimate, for all but the likeliest tokens are a sample")
        ->excludes("--ref")
        ->excludes("--save-ref")
        ->type_name("FILE");
    command->get_option("--save-ref")->excludes("--ref");
    add_evaluation(*command, options->evaluation);
    for (const char* of_text :
         {"--ref", "--save-ref", "--ref-cache", "--ctx", "--max-tokens", "--protocol"})
        tasks->excludes(command->get_option(of_text));
    command->callback([options, &invocation] {
        if (options->text.empty() && options->tasks.empty())
            throw CLI::RequiredError("--text or --tasks");
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
