// SPDX-License-Identifier: Apache-2.0
// vq sensitivity: what each part of a quantized model costs at its output.
#include <fmt/format.h>

#include <algorithm>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "io/files/output_checks.h"
#include "io/files/output_file.h"
#include "io/files/text_input.h"
#include "io/hdf5/store.h"
#include "model/evaluate.h"
#include "model/session/sensitivity.h"
#include "vq/tensor/stored_tensor.h"

namespace vq::apps {
namespace {

struct Options {
    std::string store;
    std::string reference;
    std::string text;
    std::string precision;
    Index ctx = 512;
    Index max_tokens = 8192;
    std::string output;
    Index stretches = 3;
};

Answer run(const Options& options, const Common& common) {
    const std::string text = read_text(options.text);
    const StoreReader store(options.store);
    if (!options.output.empty())
        check_can_write(options.output, {options.store, options.reference, options.text});
    const auto source = open_model_or_store(options.store, common);
    const auto original = open_model_or_store(options.reference, common);
    const auto tokenizer = load_tokenizer(source->tokenizer_files(), options.store);
    show_notes(tokenizer->notes(), common);
    std::vector<TokenId> tokens = eval_tokens(*tokenizer, text, options.text);
    tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(options.max_tokens)));
    const Index ctx = eval_ctx({.ctx = options.ctx}, source->config());
    ProgressBar bar(common, "parts");
    const Sensitivities measured = measure_sensitivities(
        *source, *original,
        sensitivity_parts(*source, options.stretches,
                          [&](const std::string& name) {
                              const StoredTensor tensor = store.info(name);
                              return is_dense(tensor) ? 0 : tensor.bits_per_weight;
                          }),
        tokens, ctx, chosen_precision(options.precision, *source), bar.progress());
    const std::vector<double> importance = importances(measured);
    const std::string what = fmt::format(
        "Measured on {} ({}): KL {:.5f} +- {:.5f} nats a token over {} tokens of {}", options.store,
        options.reference, measured.kl, measured.kl_error, measured.tokens, options.text);
    if (!options.output.empty()) {
        const std::string recipe = importance_recipe(measured, what);
        write_text_file(options.output, recipe);
    }
    Answer answer;
    Json parts = Json::array();
    answer.text =
        fmt::format("{:<40} {:>10} {:>20} {:>12}\n", "part", "weights", "KL", "importance");
    for (std::size_t p = 0; p < measured.parts.size(); ++p) {
        const SensitivityPart& part = measured.parts[p];
        parts.push_back({{"name", part.name},
                         {"weights", static_cast<std::int64_t>(part.weights)},
                         {"bits_per_weight", part.bits},
                         {"kl", part.kl},
                         {"kl_stderr", part.error},
                         {"importance", importance[p]},
                         {"tensors", part.tensors}});
        answer.text += fmt::format("{:<40} {:>10} {:>10.5f} +- {:.5f} {:>12.3f}\n", part.name,
                                   format_count(part.weights), part.kl, part.error, importance[p]);
    }
    answer.text += fmt::format("the whole: KL {:.5f} +- {:.5f} nats a token over {} tokens\n",
                               measured.kl, measured.kl_error, measured.tokens);
    answer.document = {{"store", options.store},
                       {"reference", options.reference},
                       {"text", options.text},
                       {"kl", measured.kl},
                       {"kl_stderr", measured.kl_error},
                       {"tokens", measured.tokens},
                       {"windows", measured.windows},
                       {"ctx", ctx},
                       {"parts", parts},
                       {"seconds", seconds_since_start()},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    return answer;
}

}  // namespace

void add_sensitivity(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        app, invocation, "sensitivity",
        "what each part of a store costs: how far the divergence from the original "
        "falls with the part in its original weights",
        "vq sensitivity model.vq.h5 --ref models/SmolLM2 --text heldout.txt", no_random_numbers);
    command->add_option("STORE", options->store, "a store")->required()->type_name("STORE.vq.h5");
    command->add_option("--ref", options->reference, "the model that the store was made from")
        ->required()
        ->type_name("MODEL");
    command->add_option("--text", options->text, "text that neither fit nor final evaluation sees")
        ->required()
        ->type_name("FILE");
    command
        ->add_option("--parts", options->stretches,
                     "stretches of the depth that are told apart, for every kind of layer")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str()
        ->type_name("N");
    command->add_option("--ctx", options->ctx, "tokens a window")
        ->check(CLI::Range(2, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    command
        ->add_option("--max-tokens", options->max_tokens, "use only the first N tokens of the text")
        ->check(CLI::Range(4, 1 << 30))
        ->capture_default_str()
        ->type_name("N");
    command
        ->add_option("-o,--output", options->output,
                     "write a recipe for `vq quantize --recipe`, by which tensors share out the "
                     "bits of any budget")
        ->type_name("RECIPE.yaml");
    add_precision(*command, options->precision);
    command->callback([options, &invocation] {
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
