// SPDX-License-Identifier: Apache-2.0
#include "apps/common.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <csignal>

#include "apps/lost_pages.h"
#include "apps/process.h"
#include "base/error.h"
#include "io/hdf5/store.h"
#include "model/ops/packed_model.h"
#include "vq/tensor/stored_model.h"

namespace vq::apps {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

extern "C" void request_stop(int /*signal*/) {
    stop_requested = 1;
}

}  // namespace

CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& example,
                      const std::string& seed_help) {
    CLI::App* command = parent.add_subcommand(name, description);
    Common& common = invocation.common;
    command->add_flag("--json", common.json, "print one JSON document on stdout, and nothing else");
    command->add_flag("-q,--quiet", common.quiet, "no progress and no notes on stderr");
    command->add_option("--threads", common.threads, "threads to use (default: all of the machine)")
        ->check(CLI::Range(1, 4096))
        ->type_name("N");
    command->add_option("--seed", common.seed, seed_help)->type_name("N");
    if (!example.empty()) command->footer("Example:\n  " + example);
    return command;
}

void add_precision(CLI::App& command, std::string& precision) {
    precision = "auto";
    command
        .add_option("--precision", precision,
                    "of the products: fp32, bf16, int8 (activations, with packed weights only), or "
                    "auto, the fastest there is")
        ->check(CLI::IsMember({"auto", "fp32", "bf16", "int8"}))
        ->capture_default_str()
        ->type_name("TYPE");
}

Precision chosen_precision(const std::string& name) {
    if (name == "int8")
        throw Error("int8 products need packed weights", "--precision int8",
                    "use fp32, bf16 or auto, or a file that `vq export --to packed` made");
    return name == "auto" ? fastest_precision() : parse_precision(name);
}

Precision chosen_precision(const std::string& name, const WeightSource& source) {
    if (source.packed() == nullptr) return chosen_precision(name);
    return name == "auto" ? Precision::int8 : parse_precision(name);
}

std::unique_ptr<WeightSource> open_model_or_store(const std::string& path, const Common& common) {
    std::unique_ptr<WeightSource> source;
    if (is_packed(path))
        source = open_packed_model(path);
    else
        source = is_store(path) ? open_stored_model(path) : open_checkpoint(path);
    show_notes(source->notes(), common);
    return source;
}

void show_notes(const std::vector<std::string>& notes, const Common& common) {
    if (common.quiet) return;
    for (const std::string& line : notes) say(fmt::format("note: {}\n", line));
}

std::string recipe_text(const Json& recipe) {
    std::string text = "recipe:\n";
    for (const Json& rule : recipe) {
        text += fmt::format("  {}:", rule.value("pattern", ""));
        const Json settings = rule.value("settings", Json::object());
        for (const auto& [key, value] : settings.items())
            text += fmt::format(" {}={}", key,
                                value.is_string() ? value.get<std::string>() : value.dump());
        text += "\n";
    }
    return text;
}

std::string format_bytes(double bytes) {
    if (bytes < 1e3) return fmt::format("{:.0f} B", bytes);
    if (bytes < 1e6) return fmt::format("{:.1f} kB", bytes / 1e3);
    if (bytes < 1e9) return fmt::format("{:.1f} MB", bytes / 1e6);
    return fmt::format("{:.2f} GB", bytes / 1e9);
}

std::string format_seconds(double seconds) {
    const std::int64_t whole = std::llround(seconds);
    const std::int64_t hours = whole / 3600;
    const std::int64_t minutes = whole / 60 % 60;
    if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
    return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string format_count(double count) {
    if (count < 1e3) return fmt::format("{:.0f}", count);
    if (count < 1e6) return fmt::format("{:.1f}k", count / 1e3);
    if (count < 1e9) return fmt::format("{:.2f}M", count / 1e6);
    return fmt::format("{:.2f}G", count / 1e9);
}

std::int64_t peak_rss_bytes() {
    struct rusage usage {};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

double seconds_since_start() {
    using Clock = std::chrono::steady_clock;
    static const Clock::time_point start = Clock::now();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void catch_interrupts() {
    struct sigaction action {};
    action.sa_handler = request_stop;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);  // the second one kills
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
    return stop_requested != 0 || pages_were_lost();
}

}  // namespace vq::apps
