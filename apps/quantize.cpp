// SPDX-License-Identifier: Apache-2.0
// vq quantize: a checkpoint in, a store out.
#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "apps/calibration.h"
#include "apps/common.h"
#include "apps/hessian_input.h"
#include "apps/progress_bar.h"
#include "apps/store_totals.h"
#include "base/blas_check.h"
#include "base/error.h"
#include "model/calibration.h"
#include "model/session/quantize_model.h"
#include "vq/run/presets.h"
#include "vq/tensor/stored_tensor.h"

namespace vq::apps {
namespace {

struct Options {
    std::string model;
    std::string output;
    std::string method = "best";
    std::optional<double> bits;
    Calibration calibration;
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
    if (!options.hessians_from_file()) {
        for (const std::string& file : options.calibration.files) command += " --calib " + file;
        command += fmt::format(" --calib-tokens {}", options.calibration.tokens);
        if (options.calibration.ctx > 0)
            command += fmt::format(" --ctx {}", options.calibration.ctx);
        command += " --precision ";
        command += precision_name(chosen_precision(options.calibration.precision));
    }
    command += " --hessians " + options.hessians;
    for (const std::string& assignment : options.set) command += " --set " + assignment;
    return command + fmt::format(" --seed {}", common.seed);
}

Settings settings_for(const Options& options, const LayerShapes& shapes) {
    Settings settings = preset_settings(options.method);
    for (const std::string& assignment : options.set) set_setting(settings, assignment);
    if (!settings.code.stage_bits.empty() && options.bits)
        throw Error("the size is given twice", "--bits and --set code.stage_bits", "give only one");
    fit_budget(settings, shapes, options.bits.value_or(find_preset(options.method).bits));
    check_settings(settings);
    return settings;
}

const char* scope_name(CodebookScope scope) {
    switch (scope) {
        case CodebookScope::tensor: return "tensor";
        case CodebookScope::layer: return "layer";
        case CodebookScope::model: return "model";
        default: return "universal";
    }
}

double weights_of(TensorShape shape) {
    return static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
}

/// What a run will store, before it starts.
struct Plan {
    ScopePlan scope;
    double weights = 0;      ///< to quantize
    double dense_bytes = 0;  ///< of the tensors that stay as they are

    double bits_per_weight() const { return scope.bits / weights; }
    double model_bytes() const { return scope.bits / 8 + dense_bytes; }
};

Plan plan_for(const WeightSource& source, const Settings& settings, const LayerShapes& shapes) {
    Plan plan;
    plan.scope = plan_scope(settings, shapes);
    for (const auto& layer : shapes)
        for (const TensorShape& shape : layer) plan.weights += weights_of(shape);
    // Norms and biases are kept in 32 bits, embeddings and the head in 16.
    for (const std::string& name : source.names()) {
        const TensorShape shape = source.shape(name);
        plan.dense_bytes += weights_of(shape) * (shape.rows > 1 ? 2 : 4);
    }
    plan.dense_bytes -= 2 * plan.weights;
    return plan;
}

Answer dry_run(const WeightSource& source, const Options& options, const Settings& settings,
               const LayerShapes& shapes) {
    const Plan plan = plan_for(source, settings, shapes);
    Answer answer;
    Json tensors = Json::array();
    for (Index l = 0; l < static_cast<Index>(shapes.size()); ++l) {
        std::size_t i = 0;
        for (const LinearGroup& group : linear_groups(source.config(), l)) {
            for (const std::string& name : group.names) {
                const TensorShape shape = shapes[static_cast<std::size_t>(l)][i++];
                const double bits =
                    planned_bits(shape, settings, plan.scope.scope == CodebookScope::tensor) /
                    weights_of(shape);
                tensors.push_back({{"name", name},
                                   {"rows", shape.rows},
                                   {"cols", shape.cols},
                                   {"method", options.method},
                                   {"bits_per_weight", bits}});
                answer.text += fmt::format("{:<44} {:>6} x {:<6} {:>8.4f} bits\n", name, shape.rows,
                                           shape.cols, bits);
            }
        }
    }
    answer.document = {{"dry_run", true},
                       {"model", options.model},
                       {"method", options.method},
                       {"bits_per_weight", plan.bits_per_weight()},
                       {"model_bytes", static_cast<std::int64_t>(std::llround(plan.model_bytes()))},
                       {"quantized_weights", static_cast<std::int64_t>(plan.weights)},
                       {"codebook_scope", scope_name(plan.scope.scope)},
                       {"settings", settings_json(settings)},
                       {"tensors", tensors}};
    answer.text += fmt::format(
        "\n{} would quantize {} weights to {:.4f} bits each (codebooks: {}); {} in all\n",
        options.method, format_count(plan.weights), plan.bits_per_weight(),
        scope_name(plan.scope.scope), format_bytes(plan.model_bytes()));
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

Answer report_answer(const QuantizeReport& report, const Options& options, const Json& settings,
                     const Common& common) {
    const StoreTotals totals = totals_of(StoreReader(options.output));
    double weights = 0;
    double mse = 0;
    double proxy = 0;
    Json tensors = Json::array();
    for (const TensorReport& t : report.tensors) {
        const double n = weights_of({t.rows, t.cols});
        weights += n;
        mse += n * t.rel_mse;
        proxy += n * t.rel_proxy;
        tensors.push_back(tensor_json(t));
    }
    Answer answer;
    answer.document = {{"store", options.output},
                       {"model", options.model},
                       {"method", options.method},
                       {"bits_per_weight", report.bits_per_weight},
                       {"model_bytes", totals.model_bytes},
                       {"file_bytes", totals.file_bytes},
                       {"quantized_weights", totals.quantized_weights},
                       {"dense_weights", totals.dense_weights},
                       {"codebook_scope", scope_name(report.scope)},
                       {"rel_mse", mse / weights},
                       {"rel_proxy", proxy / weights},
                       {"seed", common.seed},
                       {"seconds", seconds_since_start()},
                       {"peak_rss_bytes", peak_rss_bytes()},
                       {"settings", settings},
                       {"tensors", tensors}};
    answer.text = fmt::format("{}: {}\n", options.output,
                              format_bytes(static_cast<double>(totals.file_bytes)));
    answer.text += fmt::format(
        "{} weights at {:.4f} bits each by {} (codebooks: {}), {} kept dense\n",
        format_count(weights), report.bits_per_weight, options.method, scope_name(report.scope),
        format_count(static_cast<double>(totals.dense_weights)));
    answer.text += fmt::format("mean relative error of the weights {:.5f}, of the outputs {:.5f}\n",
                               mse / weights, proxy / weights);
    answer.text += fmt::format("{}, peak memory {}\n", format_seconds(seconds_since_start()),
                               format_bytes(static_cast<double>(peak_rss_bytes())));
    return answer;
}

/// The run itself. When it fails nothing is left behind; when it is stopped, what is finished stays
/// for --resume.
QuantizeReport quantize(const WeightSource& source, const HessianSource& hessians,
                        const Settings& settings, const StoreMeta& meta, const Options& options,
                        const Progress& progress) {
    StoreWriter store(options.output, meta.fingerprint, options.resume);
    try {
        return quantize_model(source, hessians, settings, meta.seed, meta, store, progress);
    } catch (const Error&) {
        store.discard(!options.resume);
        throw;
    } catch (...) {
        store.discard(false);
        throw;
    }
}

Answer run(const Options& options, const Common& common) {
    if (is_store(options.model))
        throw Error("already quantized", options.model, "name the model that it was made from");
    if (!options.dry_run) check_can_write(options.output);
    const auto source = open_checkpoint(options.model);
    const LayerShapes shapes = quantized_shapes(*source);
    const Settings settings = settings_for(options, shapes);
    if (options.dry_run) return dry_run(*source, options, settings, shapes);
    // Parts and the file that is gathered from them are there at the same time.
    check_space(options.output, 2 * plan_for(*source, settings, shapes).model_bytes());

    ProgressBar bar(common, "weights");
    const Progress progress = bar.progress();
    if (const std::string warning = blas_report().warning; !warning.empty()) progress.log(warning);
    HessianSource hessians;
    hessians.quantized_prefix = options.hessians == "quantized";
    std::unique_ptr<CalibrationWalk> walk;
    Json calibration;
    std::string calibration_id;  // whatever changes it changes the Hessians
    if (options.hessians_from_file()) {
        HessianInput input = open_hessians(options.hessians, *source);
        hessians.lookup = std::move(input.lookup);
        calibration = {{"hessians_hash", input.hash}};
        calibration_id = input.hash;
    } else {
        const CalibrationText text =
            load_calibration(options.calibration, *source, options.model, progress);
        const Precision precision = chosen_precision(options.calibration.precision);
        walk = std::make_unique<CalibrationWalk>(
            *source, text.windows,
            CalibrationOptions{
                .precision = precision,
                .follow_original = settings.correction > 0 && hessians.quantized_prefix},
            progress);
        hessians.walk = walk.get();
        calibration = {{"hash", text.hash}, {"tokens", text.tokens}};
        calibration_id = text.hash + " " + precision_name(precision);
    }
    StoreMeta meta;
    meta.fingerprint =
        run_fingerprint(*source, settings, calibration_id, hessians.quantized_prefix, common.seed);
    meta.seed = common.seed;
    meta.tool_version = VQKIT_VERSION;
    meta.config_json = source->config().hf_json;
    meta.tokenizer = source->tokenizer_files();
    meta.provenance = {{"command", canonical_command(options, common)},
                       {"calibration", calibration},
                       {"settings", settings_json(settings)},
                       {"model_hash", source->content_hash()},
                       {"vqkit", VQKIT_VERSION}};
    const QuantizeReport report = quantize(*source, hessians, settings, meta, options, progress);
    return report_answer(report, options, meta.provenance["settings"], common);
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

}  // namespace

void add_quantize(CLI::App& app, Session& session) {
    auto options = std::make_shared<Options>();
    CLI::App* command =
        add_command(app, session, "quantize", "compresses a model into a store (*.vq.h5)", "",
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
    add_calibration(*command, options->calibration, false);
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
    command->add_flag("--resume", options->resume,
                      "goes on with a run that was stopped, from the tensors that it finished");
    command->add_flag("--dry-run", options->dry_run,
                      "only says what would be stored and what it would take");
    command->callback([options, &session] {
        if (!options->dry_run && options->output.empty()) throw CLI::RequiredError("--output");
        if (!options->dry_run && !options->hessians_from_file() &&
            options->calibration.files.empty())
            throw CLI::RequiredError("--calib, or --hessians with a file,");
        session.run = [options, &session] { return run(*options, session.common); };
    });
}

}  // namespace vq::apps
