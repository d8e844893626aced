// SPDX-License-Identifier: Apache-2.0
// What every subcommand of `vq` shares: the common options, the answer that a command gives back,
// how models and texts are opened, and Ctrl-C.
//
// A command is a function that returns an Answer; main() prints it. So with --json nothing but one
// document can reach stdout, and an error leaves stdout empty.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "model/ops/linear.h"

namespace vq::apps {

/// The options that every subcommand takes.
struct Common {
    bool json = false;
    bool quiet = false;
    int threads = 0;  ///< 0: as many as the machine has
    std::uint64_t seed = 0;
    std::string command;  ///< the command line, for provenance
};

/// What a command found out: `document` for --json, `text` (with its newlines) for people.
struct Answer {
    Json document = Json::object();
    std::string text;
    std::string failure;  ///< not empty: printed as an error after the answer; exit code 1
};

/// What main() hands to the subcommands while the command line is taken apart: the chosen one
/// leaves its work in `run`.
struct Invocation {
    Common common;
    std::function<Answer()> run;
};

/// Adds a subcommand with the common options; `example` is the one-line example under its help
/// (empty: the caller writes the footer).
/// `seed_help` says what the random numbers are for.
CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& example,
                      const std::string& seed_help);

/// What --seed says in commands that are the same without it.
inline constexpr const char* no_random_numbers =
    "taken by every command; this one draws no numbers";

/// --precision auto|fp32|bf16|int8.
void add_precision(CLI::App& command, std::string& precision);
/// "auto" is the fastest of this machine. Throws Error for int8, which packed weights alone have.
Precision chosen_precision(const std::string& name);
/// For a source that may be packed.
Precision chosen_precision(const std::string& name, const WeightSource& source);

/// Opens a model (folder or GGUF file), a store or a packed file, whichever `path` is.
/// Notes about the file go to stderr.
std::unique_ptr<WeightSource> open_model_or_store(const std::string& path, const Common& common);

/// Shows the notes of a source or a tokenizer on stderr, unless the user wants quiet.
void show_notes(const std::vector<std::string>& notes, const Common& common);

/// "12.3 MB" (powers of ten), "3:07" or "1:02:09" (hours), "1.25M".
std::string format_bytes(double bytes);
/// A recipe of the provenance, a line each pattern.
std::string recipe_text(const Json& recipe);
std::string format_seconds(double seconds);
std::string format_count(double count);

/// Most memory that this process ever held, in bytes.
std::int64_t peak_rss_bytes();

/// Seconds since the first call.
double seconds_since_start();

/// From now on Ctrl-C and SIGTERM ask the work to stop; a second one kills.
void catch_interrupts();
bool interrupted();

void add_quantize(CLI::App& app, Invocation& invocation);
void add_hessian(CLI::App& app, Invocation& invocation);
void add_eval(CLI::App& app, Invocation& invocation);
void add_sensitivity(CLI::App& app, Invocation& invocation);
void add_compare(CLI::App& app, Invocation& invocation);
void add_sweep(CLI::App& app, Invocation& invocation);
void add_generate(CLI::App& app, Invocation& invocation);
void add_inspect(CLI::App& app, Invocation& invocation);
void add_verify(CLI::App& app, Invocation& invocation);
void add_export(CLI::App& app, Invocation& invocation);
void add_bench(CLI::App& app, Invocation& invocation);
void add_bench_gaussian(CLI::App& bench, Invocation& invocation);
void add_bench_kernels(CLI::App& bench, Invocation& invocation);

}  // namespace vq::apps
