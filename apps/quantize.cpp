// SPDX-License-Identifier: Apache-2.0
// vq quantize: a checkpoint in, a store out.
#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "apps/calibration_options.h"
#include "apps/common.h"
#include "apps/process.h"
#include "apps/progress_bar.h"
#include "base/blas_check.h"
#include "base/cancel.h"
#include "io/files/output_checks.h"
#include "io/files/text_input.h"
#include "io/gguf/gguf_split.h"
#include "io/hdf5/store.h"
#include "model/session/session.h"
#include "vq/run/file_size.h"
#include "vq/run/presets.h"
#include "vq/run/recipe.h"
#include "vq/tensor/store_totals.h"

namespace vq::apps {
namespace {

struct Options {
    std::string model;
    std::string output;
    std::string method = "best";
    std::optional<double> bits;
    std::string target_size;
    std::string recipe;
    Recipe rules;  ///< of that file, which is read once: it may be a pipe
    CalibrationArguments calibration;
    std::string hessians = "quantized";
    std::vector<std::string> set;
    bool resume = false;
    bool dry_run = false;

    bool hessians_from_file() const { return hessians != "quantized" && hessians != "original"; }
};

/// The command with everything that the result depends on and nothing else, so that the store is
/// the same whatever it is called and however many threads made it.
std::string canonical_command(const Options& options, const Common& common) {
    std::string command = fmt::format("vq quantize {} --method {}", options.model, options.method);
    if (options.bits) command += fmt::format(" --bits {}", *options.bits);
    if (!options.target_size.empty())
        command += fmt::format(" --target-size {}", parse_bytes(options.target_size));
    if (!options.hessians_from_file()) {
        for (const std::string& file : options.calibration.files.paths)
            command += " --calib " + file;
        for (const std::string& file : options.calibration.files.chats)
            command += " --calib-chat " + file;
        command += fmt::format(" --calib-tokens {}", options.calibration.files.tokens);
        if (options.calibration.files.ctx > 0)
            command += fmt::format(" --ctx {}", options.calibration.files.ctx);
        command += " --precision ";
        command += precision_name(chosen_precision(options.calibration.precision));
    }
    command += " --hessians " + options.hessians;
    for (const std::string& assignment : options.set) command += " --set " + assignment;
    if (!options.recipe.empty()) command += " --recipe " + options.recipe;
    return command + fmt::format(" --seed {}", common.seed);
}

StoreRequest request_of(const Options& options, const Common& common) {
    return {.path = options.output,
            .resume = options.resume,
            .seed = common.seed,
            .command = canonical_command(options, common),
            .recipe = options.rules.empty() ? Json() : recipe_json(options.rules)};
}

ModelPlan plan_for(const Options& options, const Common& common, const Session& session) {
    const std::vector<TensorPlan> tensors = session.tensors();
    const Recipe& recipe = options.rules;
    if (options.target_size.empty())
        return apply_recipe(
            recipe, tensors,
            plan_preset(tensors, options.method, options.set, options.bits.value_or(0)));
    const StoreRequest request = request_of(options, common);
    const std::int64_t target = parse_bytes(options.target_size);
    const FileSizePlan fitted =
        plan_file_size(tensors, options.method, options.set, recipe, target,
                       [&](const ModelPlan& plan) { return session.file_bytes(plan, request); });
    if (!common.quiet)
        say(fmt::format("{} of {} bytes planned: {:.4f} bits a weight of the linear layers, {}\n",
                        fitted.bytes, target, plan_size(fitted.plan).bits_per_weight(),
                        fitted.embedding_bits > 0
                            ? fmt::format("{:.4f} of embedding and head", fitted.embedding_bits)
                            : "embedding and head as the settings say"));
    return fitted.plan;
}

/// What errors are weighed with.
void use_calibration(const Options& options, const Progress& progress, Session& session) {
    if (options.hessians_from_file())
        session.use_hessians(options.hessians);
    else if (has_calibration(options.calibration))
        session.use_text(options.calibration.files, chosen_precision(options.calibration.precision),
                         options.hessians == "quantized" ? TextPath::quantized : TextPath::original,
                         progress);
}

/// Everything that the run reads.
std::vector<std::string> inputs_of(const Options& options) {
    std::vector<std::string> inputs = calibration_inputs(options.calibration);
    for (const std::string& part : gguf_part_names(options.model)) inputs.push_back(part);
    if (options.hessians_from_file()) inputs.push_back(options.hessians);
    if (!options.recipe.empty()) inputs.push_back(options.recipe);
    return inputs;
}

Json planned_json(const TensorPlan& t, double bits) {
    return {{"name", t.name},
            {"rows", t.shape.rows},
            {"cols", t.shape.cols},
            {"method", t.settings.method},
            {"bits_per_weight", bits}};
}

/// The text of the run: how much, before any is read.
ForecastText planned_text(const Options& options, const ModelConfig& config) {
    if (options.hessians_from_file()) return {};
    const CalibrationFiles& files = options.calibration.files;
    return {.tokens = files.tokens,
            .window = calibration_ctx(files, config, options.model),
            .precision = chosen_precision(options.calibration.precision)};
}

/// What a run will store, and what it will take, before it starts.
Answer dry_run(const Options& options, const Common& common, const Session& session,
               const ModelPlan& plan, const Progress& progress) {
    const PlanSize size = plan_size(plan);
    const double bytes = session.model_bytes(plan);
    const std::int64_t file_bytes = session.file_bytes(plan, request_of(options, common));
    const ForecastText planned = planned_text(options, session.source().config());
    const RunForecast forecast = session.forecast(plan, planned, common.seed, progress);
    Answer answer;
    Json tensors = Json::array();
    Json embeddings = Json::array();
    for (const TensorPlan& t : plan.tensors) {
        const double bits = planned_bits(t) / static_cast<double>(t.shape.rows * t.shape.cols);
        (t.role == PlanRole::linear ? tensors : embeddings).push_back(planned_json(t, bits));
        answer.text += fmt::format("{:<44} {:>6} x {:<6} {:>8.4f} bits\n", t.name, t.shape.rows,
                                   t.shape.cols, bits);
    }
    answer.document = {{"dry_run", true},
                       {"model", options.model},
                       {"method", options.method},
                       {"bits_per_weight", size.bits_per_weight()},
                       {"model_bytes", static_cast<std::int64_t>(std::llround(bytes))},
                       {"file_bytes", file_bytes},
                       {"quantized_weights", static_cast<std::int64_t>(size.linear_weights)},
                       {"codebook_scope", scope_name(plan.scope)},
                       {"predicted_seconds", forecast.seconds()},
                       {"predicted_text_seconds", forecast.text_seconds},
                       {"predicted_peak_bytes", std::llround(forecast.peak_bytes)},
                       {"settings", settings_json(plan.settings)},
                       {"tensors", tensors},
                       {"embeddings", embeddings}};
    if (!options.rules.empty()) {
        answer.document["recipe"] = recipe_json(options.rules);
        answer.text += recipe_text(answer.document["recipe"]);
    }
    answer.text += fmt::format(
        "\n{} would quantize {} weights to {:.4f} bits each (codebooks: {}); {} in all, a file of "
        "{} bytes\n",
        options.method, format_count(size.linear_weights), size.bits_per_weight(),
        scope_name(plan.scope), format_bytes(bytes), file_bytes);
    answer.text += fmt::format(
        "about {} on this machine as busy as it is ({} of them for {} tokens of text), about {} of "
        "memory\n",
        format_seconds(forecast.seconds()), format_seconds(forecast.text_seconds), planned.tokens,
        format_bytes(forecast.peak_bytes));
    return answer;
}

Json tensor_json(const TensorReport& t) {
    Json json = {{"name", t.name},
                 {"rows", t.rows},
                 {"cols", t.cols},
                 {"method", t.method},
                 {"bits_per_weight", t.bits_per_weight},
                 {"rel_mse", t.rel_mse},
                 {"rel_proxy", t.rel_proxy},
                 {"seconds", t.seconds},
                 {"resumed", t.resumed}};
    if (!t.resumed) {
        json["refine_gain"] = t.refine_gain;
        json["dead_columns"] = t.dead_columns;
        json["never_seen"] = t.never_seen;
        json["damping"] = t.damping;
    }
    return json;
}

Json embedding_json(const TensorReport& t) {
    return {{"name", t.name},       {"rows", t.rows},
            {"cols", t.cols},       {"bits_per_weight", t.bits_per_weight},
            {"rel_mse", t.rel_mse}, {"rel_proxy", t.rel_proxy},
            {"seconds", t.seconds}, {"resumed", t.resumed}};
}

Json experts_json(const std::vector<ExpertReport>& reports) {
    Json list = Json::array();
    for (const ExpertReport& r : reports)
        list.push_back({{"layer", r.layer},
                        {"experts", r.experts},
                        {"tokens_min", r.least},
                        {"tokens_median", r.median},
                        {"tokens_max", r.most},
                        {"enough", r.enough},
                        {"under", r.under}});
    return list;
}

Answer report_answer(const QuantizeReport& report, const Options& options, const ModelPlan& plan,
                     const Common& common) {
    const StoreTotals totals = totals_of(StoreReader(options.output));
    Json tensors = Json::array();
    for (const TensorReport& t : report.tensors) tensors.push_back(tensor_json(t));
    Json embeddings = Json::array();
    for (const TensorReport& t : report.embeddings) embeddings.push_back(embedding_json(t));
    Answer answer;
    answer.document = {{"store", options.output},
                       {"model", options.model},
                       {"method", options.method},
                       {"bits_per_weight", report.bits_per_weight},
                       {"model_bytes", totals.model_bytes},
                       {"file_bytes", totals.file_bytes},
                       {"quantized_weights", totals.quantized_weights},
                       {"embedding_weights", totals.embedding_weights},
                       {"dense_weights", totals.dense_weights},
                       {"codebook_scope", scope_name(report.scope)},
                       {"rel_mse", report.rel_mse},
                       {"rel_proxy", report.rel_proxy},
                       {"seed", common.seed},
                       {"seconds", seconds_since_start()},
                       {"peak_rss_bytes", peak_rss_bytes()},
                       {"settings", settings_json(plan.settings)},
                       {"tensors", tensors},
                       {"embeddings", embeddings}};
    if (!report.experts.empty()) answer.document["experts"] = experts_json(report.experts);
    const auto count = [](std::int64_t n) { return format_count(static_cast<double>(n)); };
    answer.text = fmt::format("{}: {}\n", options.output,
                              format_bytes(static_cast<double>(totals.file_bytes)));
    answer.text += fmt::format("{} weights at {:.4f} bits each by {} (codebooks: {})\n",
                               count(totals.quantized_weights), report.bits_per_weight,
                               options.method, scope_name(report.scope));
    answer.text += fmt::format("{} weights of embeddings at {:.4f} bits, {} kept dense\n",
                               count(totals.embedding_weights), totals.embedding_bits_per_weight,
                               count(totals.dense_weights));
    answer.text += fmt::format("mean relative error of the weights {:.5f}, of the outputs {:.5f}\n",
                               report.rel_mse, report.rel_proxy);
    answer.text += fmt::format("{}, peak memory {}\n", format_seconds(seconds_since_start()),
                               format_bytes(static_cast<double>(peak_rss_bytes())));
    return answer;
}

Answer run(const Options& given, const Common& common) {
    Options options = given;
    if (!options.recipe.empty())
        options.rules = parse_recipe(read_text(options.recipe), options.recipe);
    Session session(options.model);
    show_notes(session.source().notes(), common);
    if (!options.dry_run) check_can_write(options.output, inputs_of(options));
    ModelPlan plan;
    // Before the text is read, where its name is not a part of what is planned.
    if (options.target_size.empty()) {
        plan = plan_for(options, common, session);
        if (!options.dry_run) check_space(options.output, session.store_bytes(plan));
    }

    ProgressBar bar(common, "weights");
    const Progress progress = bar.progress();
    const CancelScope stop(progress.cancelled);
    if (const std::string warning = blas_report().warning; !warning.empty()) progress.log(warning);
    use_calibration(options, progress, session);
    if (!options.target_size.empty()) {
        plan = plan_for(options, common, session);
        if (!options.dry_run) check_space(options.output, session.store_bytes(plan));
    }
    if (options.dry_run) return dry_run(options, common, session, plan, progress);
    const QuantizeReport report = session.quantize(plan, request_of(options, common), progress);
    return report_answer(report, options, plan, common);
}

std::string help_footer() {
    std::string text =
        "Example:\n  vq quantize models/SmolLM2 --calib calib.txt --bits 2.3 -o smollm2.vq.h5\n\n"
        "Methods, with the bits a weight that each has unless --bits says otherwise:\n";
    for (const PresetInfo& preset : presets())
        text += fmt::format("  {:<10} {:.1f}: {} ({})\n", preset.name, preset.bits, preset.summary,
                            preset.paper);
    text += "\nSettings for --set, with their values in best:\n";
    for (const SettingInfo& setting : describe_settings(preset_settings("best")))
        text += fmt::format("  {:<24} {:<10} {}\n", setting.name, setting.value, setting.help);
    return text;
}

/// Settings are checked while the command line is read: a bad one is bad usage.
std::string check_assignment(const std::string& assignment) {
    try {
        Settings scratch = preset_settings("best");
        set_setting(scratch, assignment);
        return {};
    } catch (const Error& error) {
        return error.what();
    }
}

std::string check_bytes(const std::string& text) {
    try {
        parse_bytes(text);
        return {};
    } catch (const Error& error) {
        return error.what();
    }
}

}  // namespace

void add_quantize(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command =
        add_command(app, invocation, "quantize", "compresses a model into a store (*.vq.h5)", "",
                    "of everything random: signs, starts of k-means");
    command->footer(help_footer);
    command
        ->add_option("MODEL", options->model,
                     "a HF folder (config.json + safetensors) or a GGUF file")
        ->required();
    command->add_option("-o,--output", options->output, "the store to write")
        ->type_name("OUT.vq.h5");
    std::vector<std::string> methods;
    for (const PresetInfo& preset : presets()) methods.push_back(preset.name);
    command->add_option("--method", options->method, "see below")
        ->check(CLI::IsMember(methods))
        ->capture_default_str()
        ->type_name("PRESET");
    command
        ->add_option("--bits", options->bits,
                     "budget in bits a weight, codebooks and scales counted; each method has a "
                     "default, see below")
        ->check(CLI::Range(0.25, 16.0))
        ->type_name("B");
    command
        ->add_option(
            "--target-size", options->target_size,
            "instead of --bits: bytes of the whole file at most, 48MB or 45MiB; shared out "
            "between layers and embedding")
        ->check(CLI::Validator(check_bytes, "", ""))
        ->excludes("--bits")
        ->type_name("SIZE");
    add_calibration(*command, options->calibration);
    command
        ->add_option("--hessians", options->hessians,
                     "inputs that errors are weighed with: quantized (text that went through the "
                     "layers quantized so far), original (through the original ones), or a file of "
                     "`vq hessian`")
        ->capture_default_str()
        ->type_name("WHICH");
    command->add_option("--set", options->set, "changes one setting of the method, see below")
        ->check(CLI::Validator(check_assignment, "", ""))
        ->type_name("part.key=value");
    command
        ->add_option("--recipe", options->recipe,
                     "tensors that differ from the rest, in YAML: PATTERN: {part.key: value, bits: "
                     "B, method: PRESET} a line, later ones go over earlier ones")
        ->type_name("FILE.yaml");
    command->add_flag("--resume", options->resume,
                      "goes on with a run that was stopped, from the tensors that it finished");
    command->add_flag("--dry-run", options->dry_run,
                      "only says what would be stored and what it would take");
    command->callback([options, &invocation] {
        if (!options->dry_run && options->output.empty()) throw CLI::RequiredError("--output");
        if (!options->dry_run && !options->hessians_from_file() &&
            !has_calibration(options->calibration))
            throw CLI::RequiredError("--calib, --calib-chat or --hessians with a file");
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
