// SPDX-License-Identifier: Apache-2.0
// vq hessian: second moments of every linear layer's inputs, collected once, merged exactly, reused
// by `vq quantize --hessians`.
#include <fmt/format.h>

#include "apps/calibration_options.h"
#include "apps/common.h"
#include "apps/progress_bar.h"
#include "io/files/output_checks.h"
#include "io/gguf/gguf_split.h"
#include "io/hdf5/hessian_file.h"
#include "model/session/collect_hessians.h"

namespace vq::apps {
namespace {

struct CollectOptions {
    std::string model;
    std::string output;
    CalibrationArguments calibration;
};

struct MergeOptions {
    std::vector<std::string> inputs;
    std::string output;
};

Answer answer_for(const std::string& path, const HessianTotals& totals) {
    Answer answer;
    answer.document = {{"output", path},
                       {"groups", totals.groups},
                       {"tokens", totals.tokens},
                       {"seconds", seconds_since_start()},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    answer.text = fmt::format("{}: inputs of {} groups of layers, {} tokens, {}\n", path,
                              totals.groups, totals.tokens, format_seconds(seconds_since_start()));
    return answer;
}

Answer collect(const CollectOptions& options, const Common& common) {
    std::vector<std::string> inputs = calibration_inputs(options.calibration);
    for (const std::string& part : gguf_part_names(options.model)) inputs.push_back(part);
    check_can_write(options.output, inputs);
    const auto source = open_model_or_store(options.model, common);
    ProgressBar bar(common, "groups");
    const Progress progress = bar.progress();
    const CalibrationText text =
        load_calibration(options.calibration.files, *source, options.model, progress);
    return answer_for(options.output,
                      collect_hessians(*source, options.model, text,
                                       chosen_precision(options.calibration.precision),
                                       options.output, {{"command", common.command}}, progress));
}

Answer merge(const MergeOptions& options, const Common& common) {
    check_can_write(options.output, options.inputs);
    ProgressBar bar(common, "groups");
    return answer_for(options.output,
                      merge_hessian_files(options.inputs, options.output,
                                          {{"command", common.command}}, bar.progress()));
}

}  // namespace

void add_hessian(CLI::App& app, Invocation& invocation) {
    CLI::App* hessian = app.add_subcommand(
        "hessian", "collects and merges the second moments of the layers' inputs");
    hessian->require_subcommand(1);
    hessian->footer(
        "Example:\n  vq hessian collect models/SmolLM2 --calib calib.txt -o smollm2.h5");

    auto collect_options = std::make_shared<CollectOptions>();
    CLI::App* command = add_command(
        *hessian, invocation, "collect", "runs text through a model and sums x x^T of every layer",
        "vq hessian collect models/SmolLM2 --calib calib.txt -o smollm2.h5", no_random_numbers);
    command->add_option("MODEL", collect_options->model, "a HF folder, a GGUF file or a store")
        ->required();
    add_calibration(*command, collect_options->calibration);
    command->add_option("-o,--output", collect_options->output, "the file to write")
        ->required()
        ->type_name("H.h5");
    command->callback([collect_options, &invocation] {
        if (!has_calibration(collect_options->calibration))
            throw CLI::RequiredError("--calib or --calib-chat");
        invocation.run = [collect_options, &invocation] {
            return collect(*collect_options, invocation.common);
        };
    });

    auto merge_options = std::make_shared<MergeOptions>();
    command = add_command(*hessian, invocation, "merge",
                          "adds files up; the same as collecting all their text at once",
                          "vq hessian merge a.h5 b.h5 -o both.h5", no_random_numbers);
    command->add_option("H.h5", merge_options->inputs, "two or more files of the same model")
        ->required()
        ->expected(2, 1 << 16);
    command->add_option("-o,--output", merge_options->output, "the file to write")
        ->required()
        ->type_name("H.h5");
    command->callback([merge_options, &invocation] {
        invocation.run = [merge_options, &invocation] {
            return merge(*merge_options, invocation.common);
        };
    });
}

}  // namespace vq::apps
