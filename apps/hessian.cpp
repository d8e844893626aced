// SPDX-License-Identifier: Apache-2.0
// vq hessian: second moments of every linear layer's inputs, collected once, merged exactly, reused
// by `vq quantize --hessians`.
#include <fmt/format.h>

#include "apps/calibration.h"
#include "apps/common.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/families/linear_groups.h"
#include "io/hdf5/hessian_file.h"
#include "model/calibration.h"

namespace vq::apps {
namespace {

struct CollectOptions {
    std::string model;
    std::string output;
    Calibration calibration;
};

struct MergeOptions {
    std::vector<std::string> inputs;
    std::string output;
};

Answer answer_for(const std::string& path, Index groups, std::int64_t tokens) {
    Answer answer;
    answer.document = {{"output", path},
                       {"groups", groups},
                       {"tokens", tokens},
                       {"seconds", seconds_since_start()},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    answer.text = fmt::format("{}: inputs of {} groups of layers, {} tokens, {}\n", path, groups,
                              tokens, format_seconds(seconds_since_start()));
    return answer;
}

Answer collect(const CollectOptions& options, const Common& common) {
    check_can_write(options.output);
    const auto source = open_model_or_store(options.model);
    ProgressBar bar(common, "groups");
    const Progress progress = bar.progress();
    const CalibrationText text =
        load_calibration(options.calibration, *source, options.model, progress);
    CalibrationWalk walk(*source, text.windows,
                         {.precision = chosen_precision(options.calibration.precision)}, progress);
    HessianWriter writer(options.output, {source->content_hash(),
                                          {{"command", common.command},
                                           {"calibration_hash", text.hash},
                                           {"calibration_tokens", text.tokens}}});
    Index groups = 0;
    for (Index layer = 0; layer < walk.layers(); ++layer) {
        const std::vector<LinearGroup> here = linear_groups(source->config(), layer);
        const auto total = static_cast<double>(walk.layers()) * static_cast<double>(here.size());
        for (std::size_t i = 0; i < here.size(); ++i) {
            progress.check();
            progress.report(static_cast<double>(groups), total,
                            fmt::format("block {}: {}", layer, here[i].names.front()));
            HessianSum sum(here[i].cols);
            walk.collect(layer, static_cast<Index>(i), sum);
            writer.write({here[i].names, std::move(sum.xxt), std::move(sum.x), sum.count});
            ++groups;
        }
        walk.finish(layer);
    }
    writer.finish();
    return answer_for(options.output, groups, walk.tokens());
}

/// Adds `other` to `sum`; both are of the same group.
void add(HessianRecord& sum, const HessianRecord& other, const std::string& where) {
    if (other.names != sum.names || other.xxt.rows() != sum.xxt.rows())
        throw Error("the files are of different layers", where + ": " + sum.names.front(),
                    "merge files that were collected from the same model");
    sum.xxt += other.xxt;
    sum.x += other.x;
    sum.count += other.count;
}

Answer merge(const MergeOptions& options, const Common& common) {
    check_can_write(options.output);
    std::vector<std::unique_ptr<HessianReader>> readers;
    Json parts = Json::array();
    for (const std::string& path : options.inputs) {
        readers.push_back(std::make_unique<HessianReader>(path));
        const HessianReader& reader = *readers.back();
        if (reader.meta().model_hash != readers[0]->meta().model_hash ||
            reader.size() != readers[0]->size())
            throw Error("the files are of different models", path + " and " + options.inputs[0],
                        "merge files that were collected from the same model");
        parts.push_back(reader.meta().provenance);
    }
    HessianWriter writer(options.output,
                         {readers[0]->meta().model_hash,
                          {{"command", common.command}, {"merged", std::move(parts)}}});
    ProgressBar bar(common, "groups");
    const Progress progress = bar.progress();
    std::int64_t tokens = 0;
    const Index groups = readers[0]->size();
    for (Index i = 0; i < groups; ++i) {
        progress.check();
        HessianRecord sum = readers[0]->read(i);
        progress.report(static_cast<double>(i), static_cast<double>(groups), sum.names.front());
        for (std::size_t r = 1; r < readers.size(); ++r)
            add(sum, readers[r]->read(i), options.inputs[r]);
        tokens = std::max(tokens, sum.count);
        writer.write(sum);
    }
    writer.finish();
    return answer_for(options.output, groups, tokens);
}

}  // namespace

void add_hessian(CLI::App& app, Session& session) {
    CLI::App* hessian = app.add_subcommand(
        "hessian", "collects and merges the second moments of the layers' inputs");
    hessian->require_subcommand(1);
    hessian->footer(
        "Example:\n  vq hessian collect models/SmolLM2 --calib calib.txt -o smollm2.h5");

    auto collect_options = std::make_shared<CollectOptions>();
    CLI::App* command = add_command(
        *hessian, session, "collect", "runs text through a model and sums x x^T of every layer",
        "vq hessian collect models/SmolLM2 --calib calib.txt -o smollm2.h5", no_random_numbers);
    command->add_option("MODEL", collect_options->model, "a HF folder, a GGUF file or a store")
        ->required();
    add_calibration(*command, collect_options->calibration, true);
    command->add_option("-o,--output", collect_options->output, "the file to write")
        ->required()
        ->type_name("H.h5");
    command->callback([collect_options, &session] {
        session.run = [collect_options, &session] {
            return collect(*collect_options, session.common);
        };
    });

    auto merge_options = std::make_shared<MergeOptions>();
    command = add_command(*hessian, session, "merge",
                          "adds files up; the same as collecting all their text at once",
                          "vq hessian merge a.h5 b.h5 -o both.h5", no_random_numbers);
    command->add_option("H.h5", merge_options->inputs, "two or more files of the same model")
        ->required()
        ->expected(2, 1 << 16);
    command->add_option("-o,--output", merge_options->output, "the file to write")
        ->required()
        ->type_name("H.h5");
    command->callback([merge_options, &session] {
        session.run = [merge_options, &session] { return merge(*merge_options, session.common); };
    });
}

}  // namespace vq::apps
