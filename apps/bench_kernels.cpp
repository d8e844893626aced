// SPDX-License-Identifier: Apache-2.0
// vq bench kernels: how fast packed weights are decoded, against the machine's memory bandwidth.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/files/mapped_file.h"
#include "io/hdf5/store.h"
#include "model/kernel_bench.h"
#include "model/random_packed.h"
#include "vq/exports/export_packed.h"

namespace vq::apps {
namespace {

struct Options {
    std::string store;
    std::string shape = "4096x4096";
    std::vector<std::string> codes;
    Index megabytes = 1100;
    KernelBenchOptions bench;
};

std::pair<Index, Index> parse_shape(const std::string& text) {
    const std::size_t x = text.find('x');
    std::size_t end = 0;
    try {
        const Index rows = std::stoll(text, &end);
        if (x != std::string::npos && end == x) {
            const Index cols = std::stoll(text.substr(x + 1), &end);
            if (end == text.size() - x - 1 && rows >= 1 && cols >= 1 && rows <= 1 << 20 &&
                cols <= 1 << 20)
                return {rows, cols};
        }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): said below
    }
    throw Error("not a shape", "--shape " + text, "give rows and columns, such as 4096x4096");
}

std::vector<KernelTiming> measure(const Options& options, const KernelBenchOptions& bench,
                                  const Common& common) {
    ProgressBar bar(common, "kernels");
    const Progress progress = bar.progress();
    if (!options.store.empty()) {
        if (is_store(options.store)) {
            PackedBuffer buffer;
            export_packed(options.store, buffer.sink(), PackedMatrices::int8, progress);
            return time_packed_kernels(buffer.data(), buffer.size(), bench, progress);
        }
        const MappedFile file(options.store);
        return time_packed_kernels(file.bytes().data(), file.bytes().size(), bench, progress);
    }
    const auto [rows, cols] = parse_shape(options.shape);
    const std::vector<std::string>& codes =
        options.codes.empty() ? random_code_names() : options.codes;
    std::vector<KernelTiming> out;
    for (const std::string& code : codes) {
        progress.check();
        progress.report(static_cast<double>(out.size()), static_cast<double>(codes.size()), code);
        out.push_back(time_random_kernel(code, rows, cols, bench));
    }
    return out;
}

Answer run(const Options& options, const Common& common) {
    KernelBenchOptions bench = options.bench;
    bench.threads = omp_get_max_threads();
    bench.seed = common.seed;
    bench.bytes = options.megabytes * 1'000'000;
    const std::vector<KernelTiming> timings = measure(options, bench, common);
    std::vector<double> bandwidths;
    bandwidths.reserve(timings.size());
    for (const KernelTiming& t : timings) bandwidths.push_back(t.bandwidth);
    std::sort(bandwidths.begin(), bandwidths.end());

    Answer answer;
    Json kernels = Json::array();
    answer.text =
        fmt::format("{:24} {:>6} {:>13} {:>6} {:>7} {:>9} {:>8} {:>7} {:>9}\n", "code", "bits",
                    "shape", "batch", "isa", "Gweights/s", "GB/s", "share", "GFLOP/s");
    for (const KernelTiming& t : timings) {
        const double share = t.bytes_per_second() / t.bandwidth;
        kernels.push_back({{"code", t.code},
                           {"bits_per_weight", t.bits_per_weight},
                           {"isa", t.isa},
                           {"rows", t.rows},
                           {"cols", t.cols},
                           {"batch", t.batch},
                           {"threads", bench.threads},
                           {"tensors", t.tensors},
                           {"gweights_per_s", t.weights_per_second() / 1e9},
                           {"gbps", t.bytes_per_second() / 1e9},
                           {"bandwidth_gbps", t.bandwidth / 1e9},
                           {"bandwidth_share", share},
                           {"gflops", t.flops() / 1e9}});
        answer.text += fmt::format(
            "{:24} {:6.3f} {:>13} {:6} {:>10} {:9.2f} {:8.2f} {:6.1f}% {:9.1f}\n", t.code,
            t.bits_per_weight, fmt::format("{}x{}", t.rows, t.cols), t.batch, t.isa,
            t.weights_per_second() / 1e9, t.bytes_per_second() / 1e9, 100 * share, t.flops() / 1e9);
    }
    const double bandwidth = bandwidths.empty() ? 0 : bandwidths[bandwidths.size() / 2] / 1e9;
    answer.document = {{"bandwidth_gbps", bandwidth}, {"kernels", kernels}};
    answer.text +=
        fmt::format("memory read by {} threads: {:.1f} GB/s\n", bench.threads, bandwidth);
    return answer;
}

}  // namespace

void add_bench_kernels(CLI::App& bench, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        bench, invocation, "kernels",
        "decode speed of packed weights against the memory's bandwidth, measured in the same run",
        "vq bench kernels --shape 4096x4096 --code lut-2x8", "of the random codes");
    auto* store =
        command->add_option("STORE", options->store,
                            "a store or a packed file: its tensors, by code and shape (default: "
                            "random tensors)");
    std::string names;
    for (const std::string& name : random_code_names()) names += (names.empty() ? "" : ", ") + name;
    command->add_option("--shape", options->shape, "rows and columns of random tensors")
        ->capture_default_str()
        ->excludes(store)
        ->type_name("RxC");
    command
        ->add_option("--code", options->codes, "codes of random tensors (default: all): " + names)
        ->excludes(store)
        ->type_name("NAME");
    command->add_option("--batch", options->bench.batch, "activation vectors a product")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str()
        ->type_name("N");
    command->add_option("--seconds", options->bench.seconds, "for each kernel, at least")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str()
        ->type_name("T");
    command
        ->add_option(
            "--megabytes", options->megabytes,
            "of random tensors to cycle through, or of memory to read for the bandwidth: more "
            "than the caches hold")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str()
        ->type_name("N");
    command->callback([options, &invocation] {
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
