// SPDX-License-Identifier: Apache-2.0
// vq generate: text that a model or a store writes after a prompt.
#include "model/generate.h"

#include <fmt/format.h>

#include <cstdio>

#include "apps/common.h"
#include "apps/process.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/tokenizers/chat_template.h"

namespace vq::apps {
namespace {

struct Options {
    std::string model;
    std::string prompt;
    std::string system;
    bool chat = false;
    std::string precision;
    GenerateOptions generate;
};

void print_piece(std::string_view piece) {
    if (std::fwrite(piece.data(), 1, piece.size(), stdout) != piece.size() ||
        std::fflush(stdout) != 0)
        throw Error("cannot write the text", "standard output",
                    "check that the disk is not full and the reader still runs");
}

/// What the model reads: the prompt as it is, or as a turn of a chat.
std::string text_for(const Options& options, const WeightSource& source) {
    if (!options.chat) return options.prompt;
    Json messages = Json::array();
    if (!options.system.empty())
        messages.push_back({{"role", "system"}, {"content", options.system}});
    messages.push_back({{"role", "user"}, {"content", options.prompt}});
    return ChatTemplate(source.tokenizer_files(), options.model).render(messages, true);
}

Answer run(const Options& options, const Common& common) {
    const auto source = open_model_or_store(options.model, common);
    const auto tokenizer = load_tokenizer(source->tokenizer_files(), options.model);
    show_notes(tokenizer->notes(), common);
    const std::string prompt = text_for(options, *source);
    GenerateOptions generate_options = options.generate;
    generate_options.sample.seed = common.seed;
    generate_options.add_special = !options.chat;
    const auto prompt_tokens =
        static_cast<Index>(tokenizer->encode(prompt, generate_options.add_special).size());
    const Index positions =
        generate_positions(source->config(), prompt_tokens, options.generate.max_new_tokens);
    std::unique_ptr<LanguageModel> model;
    {
        ProgressBar bar(common, "layers");
        model = std::make_unique<LanguageModel>(
            *source, chosen_precision(options.precision, *source), positions, bar.progress(), true);
    }
    std::function<void(std::string_view)> on_text = print_piece;
    if (common.json) on_text = [](std::string_view) {};
    Progress progress;
    progress.cancelled = interrupted;  // the text itself shows how far it is
    const GenerateResult result =
        generate(*model, *tokenizer, prompt, generate_options, on_text, progress);
    if (!common.json) print_piece("\n");
    if (result.stop_reason == "cancelled") throw Cancelled();

    if (!common.quiet)
        say(fmt::format("{} tokens read at {:.0f}/s, {} written at {:.1f}/s, {} of weights each\n",
                        result.prompt.size(), result.prompt_tokens_per_second(),
                        result.tokens.size(), result.decode_tokens_per_second(),
                        format_bytes(static_cast<double>(model->bytes_per_token()))));
    Answer answer;
    answer.document = {{"prompt", prompt},
                       {"text", result.text},
                       {"stop_reason", result.stop_reason},
                       {"prompt_tokens", result.prompt.size()},
                       {"tokens", result.tokens.size()},
                       {"prompt_tokens_per_second", result.prompt_tokens_per_second()},
                       {"tokens_per_second", result.decode_tokens_per_second()},
                       {"bytes_per_token", model->bytes_per_token()},
                       {"model", options.model},
                       {"precision", precision_name(chosen_precision(options.precision, *source))},
                       {"seed", common.seed},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    return answer;
}

}  // namespace

void add_generate(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        app, invocation, "generate", "writes on after a prompt; the new text goes to stdout",
        "vq generate model-2bit.vq.h5 --prompt \"Once upon a time\" -n 100",
        "of the draws, with --temperature above 0");
    command
        ->add_option("MODEL", options->model, "a store, a packed file, a HF folder or a GGUF file")
        ->required();
    command->add_option("-p,--prompt", options->prompt, "the text to go on from")
        ->required()
        ->type_name("TEXT");
    command->add_flag("--chat", options->chat,
                      "the prompt is what a user says: the model's own chat template stands around "
                      "it, and the answer is written");
    command
        ->add_option("--system", options->system, "what the system says before the user, in a chat")
        ->needs("--chat")
        ->type_name("TEXT");
    GenerateOptions& generate = options->generate;
    command->add_option("-n,--tokens", generate.max_new_tokens, "tokens to write at most")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    command
        ->add_option("--temperature", generate.sample.temperature,
                     "0 takes the likeliest token; higher draws, the more freely the higher")
        ->check(CLI::Range(0.0, 100.0))
        ->capture_default_str()
        ->type_name("T");
    command
        ->add_option("--top-k", generate.sample.top_k,
                     "draw among the K likeliest tokens only; 0: among all")
        ->check(CLI::Range(0, 1 << 20))
        ->capture_default_str()
        ->type_name("K");
    command
        ->add_option("--top-p", generate.sample.top_p,
                     "draw among the likeliest tokens that make up probability P")
        ->check(CLI::Range(1e-6, 1.0))
        ->capture_default_str()
        ->type_name("P");
    add_precision(*command, options->precision);
    command->callback([options, &invocation] {
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
