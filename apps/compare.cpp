// SPDX-License-Identifier: Apache-2.0
// vq compare: which of two models is better on some texts, and whether that is more than noise.
#include <fmt/format.h>

#include "apps/common.h"
#include "apps/eval_options.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/files/text_input.h"
#include "model/compare.h"
#include "model/evaluate.h"

namespace vq::apps {
namespace {

struct Options {
    std::string a;
    std::string b;
    std::vector<std::string> texts;
    std::string reference;
    bool floor = false;
    EvalArguments evaluation;
};

/// A model that takes part, before its weights are read.
struct Entrant {
    std::string path;
    std::unique_ptr<WeightSource> source;
    std::vector<EvalText> texts;
};

using Windows = std::vector<WindowSums>;

Entrant enter(const std::string& path, const Options& options,
              const std::vector<std::string>& contents, const Common& common) {
    Entrant entrant{path, open_model_or_store(path, common), {}};
    const auto tokenizer = load_tokenizer(entrant.source->tokenizer_files(), path);
    show_notes(tokenizer->notes(), common);
    for (std::size_t i = 0; i < contents.size(); ++i)
        entrant.texts.push_back(eval_text(*tokenizer, contents[i], options.texts[i],
                                          options.evaluation.options(), entrant.source->config()));
    return entrant;
}

/// Windows are paired, so they must be of the same tokens.
void check_same_windows(const Entrant& a, const Entrant& b, const Options& options) {
    for (std::size_t i = 0; i < a.texts.size(); ++i)
        if (a.texts[i].hash() != b.texts[i].hash())
            throw Error("the two models cut this text into other tokens or windows",
                        fmt::format("{} with {} and {}", options.texts[i], a.path, b.path),
                        "compare models of one tokenizer, with a --ctx that both can take");
}

/// The reference as the others meet it: its head, and its states on every text.
struct Reference {
    std::unique_ptr<LanguageModel> model;
    std::vector<Matrix> states;

    EvalReference on(std::size_t text) const {
        if (model == nullptr) return {};
        return {.model = model.get(), .states = &states[text]};
    }
};

Reference run_reference(const Entrant& entrant, const Options& options, const Common& common) {
    Reference reference;
    reference.model = load_for_eval(
        *entrant.source, reference_precision(options.evaluation.precision, *entrant.source),
        entrant.texts.front().ctx, common);
    ProgressBar bar(common, "tokens");
    for (const EvalText& text : entrant.texts)
        reference.states.push_back(keep_states(*reference.model, text, bar.progress()));
    reference.model->drop_layers();
    return reference;
}

/// Of every text.
std::vector<Windows> run_model(const Entrant& entrant, const Reference& reference,
                               const std::string& precision, const Common& common) {
    const auto model = load_for_eval(*entrant.source, precision, entrant.texts.front().ctx, common);
    ProgressBar bar(common, "tokens");
    std::vector<Windows> windows;
    for (std::size_t i = 0; i < entrant.texts.size(); ++i)
        windows.push_back(
            evaluate(*model, reference.on(i), entrant.texts[i], bar.progress()).by_window);
    return windows;
}

Windows joined(const std::vector<Windows>& texts) {
    Windows all;
    for (const Windows& windows : texts) all.insert(all.end(), windows.begin(), windows.end());
    return all;
}

std::string figure(const MeanWithError& m, int digits = 5) {
    return m.is_known ? fmt::format("{:.{}f} +- {:.{}f}", m.mean, digits, m.error, digits)
                      : fmt::format("{:.{}f}", m.mean, digits);
}

std::string interval(const MeanWithError& d) {
    if (!d.is_known) return fmt::format("{:+.5f} (one window: no interval)", d.mean);
    const char* verdict = d.low > 0 ? "A is better" : d.high < 0 ? "B is better" : "no difference";
    return fmt::format("{:+.5f} [{:+.5f}, {:+.5f}]  {}", d.mean, d.low, d.high, verdict);
}

std::string table(const Comparison& c, const std::string& name) {
    std::string text = fmt::format("{} ({} tokens in {} windows)\n", name, c.tokens, c.windows);
    const auto row = [&](const char* what, const MeanWithError& a, const MeanWithError& b,
                         const MeanWithError& d) {
        text += fmt::format("  {:<5} A {:<21} B {:<21} B - A {}\n", what, figure(a), figure(b),
                            interval(d));
    };
    if (c.has_reference) row("KL", c.kl_a, c.kl_b, c.kl_difference);
    row("loss", c.nll_a, c.nll_b, c.nll_difference);
    return text;
}

Answer run(const Options& options, const Common& common) {
    std::vector<std::string> contents;
    for (const std::string& path : options.texts) contents.push_back(read_text(path));
    const Entrant a = enter(options.a, options, contents, common);
    const Entrant b = enter(options.b, options, contents, common);
    check_same_windows(a, b, options);
    std::unique_ptr<Entrant> original;
    Reference reference;
    std::vector<Windows> floor;
    std::string floor_name;
    if (!options.reference.empty()) {
        original = std::make_unique<Entrant>(enter(options.reference, options, contents, common));
        check_same_windows(*original, a, options);
        reference = run_reference(*original, options, common);
    }
    if (options.floor) {
        const Precision own =
            chosen_precision(reference_precision(options.evaluation.precision, *original->source),
                             *original->source);
        floor_name = own == Precision::fp32 ? "bf16" : "fp32";
        floor = run_model(*original, reference, floor_name, common);
    }
    const std::vector<Windows> of_a = run_model(a, reference, options.evaluation.precision, common);
    const std::vector<Windows> of_b = run_model(b, reference, options.evaluation.precision, common);

    Answer answer;
    answer.document = {{"a", options.a}, {"b", options.b}};
    if (original) answer.document["reference"] = options.reference;
    answer.document["protocol"] = options.evaluation.protocol;
    answer.document["ctx"] = a.texts.front().ctx;
    if (options.floor) answer.document["floor_precision"] = floor_name;
    answer.text = fmt::format("A {}\nB {}\n", options.a, options.b);
    if (original) answer.text += fmt::format("reference {}\n", options.reference);
    answer.text += "\n";
    const auto add = [&](const std::string& name, const Windows& first, const Windows& second,
                         const Windows& noise) {
        const Comparison c = compare_windows(first, second, original != nullptr);
        Json json = to_json(c);
        answer.text += table(c, name);
        if (options.floor) {
            const MeanWithError kl = window_mean(noise, &WindowSums::kl);
            json["floor_kld_mean"] = kl.mean;
            answer.text += fmt::format("  floor KL of the reference in {} from itself: {}\n",
                                       floor_name, figure(kl, 7));
        }
        return json;
    };
    Json texts = Json::array();
    for (std::size_t i = 0; i < options.texts.size(); ++i) {
        Json json = {{"text", options.texts[i]}};
        json.update(add(options.texts[i], of_a[i], of_b[i], options.floor ? floor[i] : Windows()));
        texts.push_back(std::move(json));
    }
    if (options.texts.size() > 1) {
        answer.document["all"] = add("all texts", joined(of_a), joined(of_b), joined(floor));
    } else {
        answer.document["all"] = texts.front();
        answer.document["all"].erase("text");
    }
    answer.document["texts"] = std::move(texts);
    answer.document["seconds"] = seconds_since_start();
    answer.document["peak_rss_bytes"] = peak_rss_bytes();
    return answer;
}

}  // namespace

void add_compare(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        app, invocation, "compare",
        "whether one of two models is better: paired differences by window, with intervals",
        "vq compare a.vq.h5 b.vq.h5 --ref models/SmolLM2 --text heldout.txt --floor",
        no_random_numbers);
    command->add_option("A", options->a, "a store, a packed file, a HF folder or a GGUF file")
        ->required();
    command->add_option("B", options->b, "the same")->required();
    command->add_option("--text", options->texts, "texts to predict, one or several")
        ->required()
        ->type_name("FILE");
    command
        ->add_option("--ref", options->reference,
                     "the model that both are compressed from: differences of the KL divergence "
                     "from it too")
        ->type_name("MODEL");
    command->add_flag("--floor", options->floor,
                      "the noise floor too: the divergence of the reference in bf16 from itself in "
                      "fp32, a run more");
    add_evaluation(*command, options->evaluation);
    command->callback([options, &invocation] {
        if (options->floor && options->reference.empty())
            throw CLI::RequiredError("--ref (for --floor)");
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
