// SPDX-License-Identifier: Apache-2.0
// Times ggml's products, through its public interface, the way `vq bench kernels` times ours:
// matrices of one format, cycled through more memory than caches hold, and the same memory read by
// a plain loop in between. Prints one JSON document.
//   ggml_driver [--side N] [--megabytes N] [--seconds T] [--threads N] [--batch N] FORMAT...
// Formats that this ggml does not have are left out.
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#if __has_include(<ggml-cpu.h>)
#include <ggml-cpu.h>
#endif
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

struct Options {
    std::int64_t side = 4096;
    std::int64_t megabytes = 1100;
    double seconds = 1;  // for one format, at least
    int threads = 1;
    std::int64_t batch = 1;
    std::vector<std::string> formats;
};

struct Timing {
    double bits = 0;       // a weight
    double seconds = 0;    // of one product, median of the passes
    double bandwidth = 0;  // bytes a second, median of the passes
    std::size_t matrices = 0;
};

constexpr std::size_t least_passes = 5;
constexpr std::int64_t strip_rows = 64;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

/// GGML_TYPE_COUNT when there is none of that name.
ggml_type find_format(const std::string& name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        const char* is = ggml_type_name(type);
        if (is != nullptr && strcasecmp(is, name.c_str()) == 0) return type;
    }
    return GGML_TYPE_COUNT;
}

/// Some trees have one argument more, which may be null.
template <class F>
void quantize(F* chunk, ggml_type type, const float* from, void* to, std::int64_t rows,
              std::int64_t cols, const float* importance) {
    using I = std::int64_t;
    if constexpr (std::is_invocable_v<F*, ggml_type, const float*, void*, I, I, I, const float*>)
        chunk(type, from, to, 0, rows, cols, importance);
    else
        chunk(type, from, to, 0, rows, cols, importance, nullptr);
}

/// A few quantized rows of Gaussian weights; matrices repeat them. The speed of a product does not
/// depend on what the codes are, and some formats take half a minute a matrix.
std::vector<char> quantized_strip(ggml_type type, std::int64_t cols) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> weights(static_cast<std::size_t>(strip_rows * cols));
    for (float& w : weights) w = normal(random);
    const std::vector<float> importance(static_cast<std::size_t>(cols), 1.0F);
    std::vector<char> strip(ggml_row_size(type, cols) * strip_rows);
    quantize(ggml_quantize_chunk, type, weights.data(), strip.data(), strip_rows, cols,
             importance.data());
    return strip;
}

/// Seconds to read all matrices once, every thread its own stretch.
double read_seconds(const std::vector<ggml_tensor*>& matrices, int threads) {
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads));
    const auto read = [&](std::size_t t) {
        std::uint64_t sum[8] = {};
        for (std::size_t m = matrices.size() * t / sums.size();
             m < matrices.size() * (t + 1) / sums.size(); ++m) {
            const auto* words = static_cast<const std::uint64_t*>(matrices[m]->data);
            const std::size_t count = ggml_nbytes(matrices[m]) / sizeof(std::uint64_t) / 8 * 8;
            for (std::size_t i = 0; i < count; i += 8) {
                __builtin_prefetch(words + i + 1024);  // as vq bench kernels reads
                for (std::size_t k = 0; k < 8; ++k) sum[k] ^= words[i + k];
            }
        }
        for (const std::uint64_t s : sum) sums[t] ^= s;
    };
    const double start = now();
    std::vector<std::thread> workers;
    for (std::size_t t = 1; t < sums.size(); ++t) workers.emplace_back(read, t);
    read(0);
    for (std::thread& w : workers) w.join();
    const double seconds = now() - start;
    // The result is used, or nothing would be read.
    volatile std::uint64_t sink = 0;
    for (const std::uint64_t s : sums) sink = sink ^ s;
    return seconds;
}

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "error: ggml_driver: %s\n", what.c_str());
    std::exit(1);
}

Timing measure(ggml_type type, const Options& options) {
    const std::size_t matrix_bytes = ggml_row_size(type, options.side) * options.side;
    // Batches compute so long that caches do not matter.
    const std::size_t count =
        options.batch > 1
            ? 4
            : static_cast<std::size_t>(options.megabytes) * 1'000'000 / matrix_bytes + 1;
    const std::size_t nodes = count + 16;
    ggml_context* context = ggml_init(
        {ggml_tensor_overhead() * (2 * nodes + 16) + ggml_graph_overhead_custom(nodes, false),
         nullptr, true});
    ggml_backend_t cpu = ggml_backend_cpu_init();
    if (context == nullptr || cpu == nullptr) fail("ggml does not start");
    ggml_backend_cpu_set_n_threads(cpu, options.threads);

    ggml_tensor* x = ggml_new_tensor_2d(context, GGML_TYPE_F32, options.side, options.batch);
    ggml_cgraph* graph = ggml_new_graph_custom(context, nodes, false);
    std::vector<ggml_tensor*> matrices(count);
    for (ggml_tensor*& w : matrices) {
        w = ggml_new_tensor_2d(context, type, options.side, options.side);
        ggml_build_forward_expand(graph, ggml_mul_mat(context, w, x));
    }
    ggml_backend_buffer_t memory = ggml_backend_alloc_ctx_tensors(context, cpu);
    if (memory == nullptr) fail("not enough memory for the matrices: give fewer --megabytes");

    const std::vector<char> strip = quantized_strip(type, options.side);
    for (ggml_tensor* w : matrices)
        for (std::size_t at = 0; at < matrix_bytes; at += strip.size())
            ggml_backend_tensor_set(w, strip.data(), at, std::min(strip.size(), matrix_bytes - at));
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<float> inputs(static_cast<std::size_t>(options.side * options.batch));
    for (float& v : inputs) v = normal(random);
    ggml_backend_tensor_set(x, inputs.data(), 0, inputs.size() * sizeof(float));

    Timing timing;
    timing.bits =
        8.0 * static_cast<double>(matrix_bytes) / static_cast<double>(options.side * options.side);
    timing.matrices = count;
    std::vector<double> passes;
    std::vector<double> rates;
    ggml_backend_graph_compute(cpu, graph);
    const double start = now();
    while (passes.size() < least_passes || now() - start < options.seconds) {
        const double begin = now();
        if (ggml_backend_graph_compute(cpu, graph) != GGML_STATUS_SUCCESS)
            fail(std::string("the product fails: ") + ggml_type_name(type));
        passes.push_back((now() - begin) / static_cast<double>(count));
        rates.push_back(static_cast<double>(matrix_bytes * count) /
                        read_seconds(matrices, options.threads));
    }
    timing.seconds = median(passes);
    timing.bandwidth = median(rates);
    ggml_backend_buffer_free(memory);
    ggml_backend_free(cpu);
    ggml_free(context);
    return timing;
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.rfind("--", 0) != 0) {
            options.formats.push_back(word);
            continue;
        }
        if (i + 1 == argc) fail(word + " needs a value");
        const double value = std::atof(argv[++i]);
        if (!(value > 0)) fail(word + " needs a positive number");
        if (word == "--side")
            options.side = static_cast<std::int64_t>(value);
        else if (word == "--megabytes")
            options.megabytes = static_cast<std::int64_t>(value);
        else if (word == "--seconds")
            options.seconds = value;
        else if (word == "--threads")
            options.threads = static_cast<int>(value);
        else if (word == "--batch")
            options.batch = static_cast<std::int64_t>(value);
        else
            fail("unknown option " + word);
    }
    if (options.side % 256 != 0) fail("--side must be a multiple of 256");
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    // Some quantizers print: what they say goes to stderr, and only the document to stdout.
    std::FILE* document = fdopen(dup(STDOUT_FILENO), "w");
    if (document == nullptr || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) fail("no standard output");
    std::string separator;
    std::fprintf(document, "{\"kernels\": [");
    for (const std::string& name : options.formats) {
        const ggml_type type = find_format(name);
        if (type == GGML_TYPE_COUNT) {
            std::fprintf(stderr, "%s: not in this ggml, left out\n", name.c_str());
            continue;
        }
        const Timing t = measure(type, options);
        const double weights = static_cast<double>(options.side * options.side);
        const double bytes = t.bits / 8 * weights / t.seconds;
        std::fprintf(
            document,
            "%s\n  {\"code\": \"%s\", \"bits_per_weight\": %.4f, \"rows\": %lld, \"cols\": %lld, "
            "\"batch\": %lld, \"threads\": %d, \"tensors\": %zu, \"gweights_per_s\": %.3f, "
            "\"gbps\": %.3f, \"bandwidth_gbps\": %.3f, \"bandwidth_share\": %.4f, "
            "\"gflops\": %.2f}",
            separator.c_str(), ggml_type_name(type), t.bits, static_cast<long long>(options.side),
            static_cast<long long>(options.side), static_cast<long long>(options.batch),
            options.threads, t.matrices, weights / t.seconds / 1e9, bytes / 1e9, t.bandwidth / 1e9,
            bytes / t.bandwidth,
            2 * weights * static_cast<double>(options.batch) / t.seconds / 1e9);
        separator = ",";
    }
    std::fprintf(document, "\n]}\n");
    if (std::fclose(document) != 0) fail("the document cannot be written");
}
