// SPDX-License-Identifier: Apache-2.0
// vq sweep: many runs that differ in a few choices, described in one file, and what they come to.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "apps/common.h"
#include "apps/process.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/files/file_lock.h"
#include "io/files/output_file.h"
#include "io/files/yaml.h"
#include "model/session/sweep.h"
#include "model/session/sweep_files.h"
#include "model/session/sweep_model.h"
#include "model/session/sweep_workflow.h"

namespace vq::apps {
namespace {

struct Options {
    std::string description;
    std::string folder;
    bool dry_run = false;
    bool prepare = false;
    std::string workflow;
    std::optional<std::size_t> point;
};

/// A quarter of the machine's memory for what points share.
std::int64_t shared_memory() {
    const auto pages = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES));
    return pages * static_cast<std::int64_t>(sysconf(_SC_PAGE_SIZE)) / 4;
}

/// The file that runs, for commands that other processes are to give.
std::string this_program() {
    std::error_code error;
    const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? "vq" : path.string();
}

/// What a point is, in a line of a table.
std::string describe(const Json& row) {
    const std::string bits =
        row["bits"].is_null() ? "-" : fmt::format("{}", row["bits"].get<double>());
    std::string text = fmt::format("{:<11} {:>5} {:>4}", row["method"].get<std::string>(), bits,
                                   row["seed"].get<std::uint64_t>());
    for (const auto& [name, value] : row["set"].items())
        text += fmt::format("  {}={}", name, value.get<std::string>());
    return text;
}

constexpr const char* point_header = "method       bits seed";

/// The figures of a point that is done: those of its first text.
std::string figures(const Json& row) {
    if (row.contains("error")) return "failed: " + row["error"].get<std::string>();
    std::string text = fmt::format("{:>8.4f} {:>9}", row["bits_per_weight"].get<double>(),
                                   format_bytes(row["file_bytes"].get<double>()));
    const Json texts = row.value("texts", Json::array());
    if (!texts.empty()) {
        const Json& first = texts.front();
        text += fmt::format(" {:>10.4f}", first["perplexity"].get<double>());
        text += first.contains("kld_mean")
                    ? fmt::format(" {:>9.5f}", first["kld_mean"].get<double>())
                    : std::string();
        if (const double error = first.value("kld_stderr_windows", 0.0); error > 0)
            text += fmt::format(" +- {:.5f}", error);
    }
    if (!row["quantize_seconds"].is_null())
        text += fmt::format("  {}", format_seconds(row["quantize_seconds"].get<double>()));
    return text;
}

constexpr const char* figure_header = "true bits      file perplexity        KL";

Answer foretell(const SweepSpec& spec, const SweepOptions& options, const Common& common) {
    ProgressBar bar(common, "weights");
    const SweepForecast forecast = forecast_sweep(spec, options, bar.progress());
    Answer answer;
    Json points = Json::array();
    answer.text = fmt::format("{}  true bits      size      time    memory\n", point_header);
    for (const SweepForecast::Point& point : forecast.points) {
        Json json = point.row;
        if (!json.contains("error")) {
            json["bits_per_weight"] = point.bits_per_weight;
            json["model_bytes"] = point.model_bytes;
            json["predicted_seconds"] = point.seconds;
            json["predicted_peak_bytes"] = point.peak_bytes;
            answer.text +=
                fmt::format("{}  {:>9.4f} {:>9} {:>9} {:>9}\n", describe(point.row),
                            point.bits_per_weight, format_bytes(point.model_bytes),
                            format_seconds(point.seconds), format_bytes(point.peak_bytes));
        } else {
            answer.text += fmt::format("{}  cannot be done: {}\n", describe(point.row),
                                       json["error"].get<std::string>());
        }
        points.push_back(std::move(json));
    }
    answer.document = {{"dry_run", true},
                       {"points", points},
                       {"predicted_seconds", forecast.seconds},
                       {"predicted_peak_bytes", forecast.peak_bytes},
                       {"predicted_disk_bytes", forecast.disk_bytes}};
    answer.text += fmt::format(
        "\n{} points: about {} on this machine as busy as it is, {} of memory, {} of disk\n",
        forecast.points.size(), format_seconds(forecast.seconds), format_bytes(forecast.peak_bytes),
        format_bytes(forecast.disk_bytes));
    return answer;
}

/// The frozen description and the list of points, for processes that make one point each; with
/// --workflow the rules that start them.
Answer prepare(const Options& given, const SweepSpec& spec, const SweepOptions& options,
               const Common& common) {
    const std::vector<PointNames> names = sweep_names(spec);
    ProgressBar bar(common, "weights");
    SweepOptions alone = options;  // processes of one point share nothing
    alone.kept_sums = 0;
    const SweepForecast forecast = forecast_sweep(spec, alone, bar.progress());
    const std::filesystem::path folder = given.folder;
    const FileLock lock(claim_folder(given.folder, "sweep.lock"));
    SweepFiles(given.folder).make_folders();  // logs of other processes may go there
    const std::string description = (folder / "sweep.yaml").string();
    // Another machine's fastest precision may be another, and with it the points' names.
    Json frozen = spec.source;
    frozen["precision"] = SweepInputs(spec).precision();
    // JSON is YAML too.
    write_text_file(description, frozen.dump(2) + "\n");
    Answer answer;
    Json points = Json::array();
    std::string list = "index\tpoint\tmegabytes\tseconds\twhat\n";
    for (std::size_t i = 0; i < names.size(); ++i) {
        const SweepForecast::Point& point = forecast.points[i];
        Json json = point.row;
        json["index"] = i;
        json["point"] = names[i].point;
        json["megabytes"] = point_megabytes(point);
        json["predicted_seconds"] = point.seconds;
        points.push_back(std::move(json));
        list += fmt::format("{}\t{}\t{}\t{:.0f}\t{}\n", i, names[i].point, point_megabytes(point),
                            point.seconds, describe(point.row));
    }
    write_text_file((folder / "points.tsv").string(), list);
    answer.document = {{"folder", given.folder}, {"description", description}, {"points", points}};
    answer.text = fmt::format("{} points: {}/points.tsv\n", names.size(), given.folder);
    if (!given.workflow.empty()) {
        const std::string path = (folder / "Snakefile").string();
        write_text_file(path,
                        snakemake_workflow(names, forecast,
                                           {.program = this_program(),
                                            .description = description,
                                            .folder = given.folder,
                                            .threads = common.threads > 0 ? common.threads : 1}));
        answer.document["workflow"] = path;
        answer.text += fmt::format("snakemake -s {} --cores 4\n", path);
    }
    return answer;
}

Answer one_point(const Options& given, const SweepSpec& spec, const SweepOptions& options,
                 const Common& common) {
    if (*given.point >= spec.points.size())
        throw Error("there is no such point",
                    fmt::format("--point-index {}: {} has {} points", *given.point,
                                given.description, spec.points.size()),
                    "count from 0");
    ProgressBar bar(common, "weights");
    const Json row = run_sweep_point(spec, options, *given.point, bar.progress());
    return {.document = row, .text = describe(row) + " " + figures(row) + "\n", .failure = {}};
}

Answer run(const Options& given, const Common& common) {
    const SweepSpec spec = parse_sweep(read_yaml(given.description), given.description);
    const SweepOptions options = {
        .folder = given.folder, .kept_sums = shared_memory(), .command = common.command};
    if (given.dry_run) return foretell(spec, options, common);
    if (given.prepare || !given.workflow.empty()) return prepare(given, spec, options, common);
    if (given.point) return one_point(given, spec, options, common);

    ProgressBar bar(common, "weights");
    const Progress progress = bar.progress();
    progress.log(fmt::format("         {} {}", point_header, figure_header));
    const SweepReport report =
        run_sweep(spec, options, progress,
                  [&](const Json& row, std::size_t done, std::size_t total, bool was_there) {
                      progress.log(fmt::format("{:>4}/{:<4}{} {}{}", done, total, describe(row),
                                               figures(row), was_there ? "  (done before)" : ""));
                  });

    Answer answer;
    answer.document = {{"folder", given.folder},
                       {"points", report.rows},
                       {"failed", report.failed},
                       {"done_before", report.earlier},
                       {"seconds", seconds_since_start()}};
    answer.text = fmt::format("{} {}\n", point_header, figure_header);
    for (const Json& row : report.rows)
        answer.text += fmt::format("{} {}\n", describe(row), figures(row));
    answer.text +=
        fmt::format("\n{0}/report.html, {0}/results.csv, {0}/results.json\n", given.folder);
    if (report.failed > 0)
        answer.failure = fmt::format(
            "{} of {} points failed: {}/results.csv: see its column \"error\"; the same command "
            "tries them again",
            report.failed, report.rows.size(), given.folder);
    return answer;
}

}  // namespace

void add_sweep(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command =
        add_command(app, invocation, "sweep",
                    "runs every combination of the choices that a file lists, and compares them",
                    "vq sweep sweep.yaml -o sweep-out", "not used here: seeds are in the file");
    command->footer(
        "Example:\n  vq sweep sweep.yaml -o sweep-out\n\nwith, in sweep.yaml,\n"
        "  model: models/SmolLM2\n"
        "  method: [gptq, rvq]\n"
        "  bits: [2.25, 3]\n"
        "  seed: [0, 1]\n"
        "  set: {refine.rounds: 2}                          # any setting; a list is swept\n"
        "  calibration: {text: calib.txt, tokens: 32768}\n"
        "  evaluation: {text: heldout.txt, ctx: 1024}\n"
        "  exclude: {method: gptq, bits: 2.25}\n"
        "A sweep that was stopped, however it was, goes on where it was with the same command.");
    command->add_option("SWEEP", options->description, "the file that lists the choices (YAML)")
        ->required();
    command->add_option("-o,--output", options->folder, "the folder for results")
        ->type_name("FOLDER");
    command->add_flag("--dry-run", options->dry_run,
                      "only says which points there are, and what time and memory they will take");
    CLI::Option* workflow =
        command
            ->add_option("--workflow", options->workflow,
                         "instead of running it, writes the sweep as a workflow for many machines: "
                         "snakemake (FOLDER/Snakefile; --threads: of each point)")
            ->check(CLI::IsMember({"snakemake"}))
            ->type_name("ENGINE");
    CLI::Option* prepared = command->add_flag(
        "--prepare", options->prepare,
        "instead of running it, writes the list of points with their estimates (FOLDER/points.tsv) "
        "and the description as it stands (FOLDER/sweep.yaml), for --point-index");
    CLI::Option* point =
        command
            ->add_option("--point-index", options->point,
                         "only this point, counted from 0; several processes may make different "
                         "points in one folder, then the command without it makes the results")
            ->type_name("N");
    workflow->excludes(prepared)->excludes(point)->excludes("--dry-run");
    prepared->excludes(point)->excludes("--dry-run");
    point->excludes("--dry-run");
    command->callback([options, &invocation] {
        if (!options->dry_run && options->folder.empty()) throw CLI::RequiredError("--output");
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
