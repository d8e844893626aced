// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/gaussian_bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

constexpr int beam = 16;
constexpr Index tile_rows = 256;  // of a tensor whose codes span rows
constexpr Index training_weights = Index{1} << 20;
constexpr std::uint64_t training_stream = 0x7261696E;  // not that of the held-out weights

Matrix gaussian(Index n, Index d, std::uint64_t seed) {
    Matrix x(n, d);
    parallel_for(n, [&](Index i) {
        for (Index j = i * d; j < (i + 1) * d; ++j)
            x.data()[j] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(j)));
    });
    return x;
}

/// A row of the table: what a run would say to get this code at `bits` bits a weight.
struct Row {
    const char* name;
    CodeSettings (*settings)(int bits);
};

CodeSettings vectors(const char* kind, int dim, std::vector<int> stage_bits) {
    CodeSettings s;
    s.kind = kind;
    s.dim = dim;
    s.beam = beam;
    s.stage_bits = std::move(stage_bits);
    return s;
}

CodeSettings trained(int dim, std::vector<int> stage_bits, int joint_rounds) {
    CodeSettings s = vectors("residual", dim, std::move(stage_bits));
    s.scope = CodebookScope::tensor;
    s.kmeans.joint_rounds = joint_rounds;
    return s;
}

CodeSettings of_rate(const char* kind, int bits) {
    CodeSettings s;
    s.kind = kind;
    s.rate = bits;
    return s;
}

constexpr Row rows[] = {
    {"trellis", [](int bits) { return of_rate("trellis", bits); }},
    {"e8p", [](int bits) { return vectors("e8p", 8, {8 * bits}); }},
    {"additive",
     [](int bits) {
         CodeSettings s = vectors("residual", 8, {8 * bits});
         s.revisions = 2;
         return s;
     }},
    {"residual",
     [](int bits) { return trained(8, std::vector<int>(static_cast<std::size_t>(bits), 8), 4); }},
    {"kmeans", [](int bits) { return trained(12 / bits, {12}, 0); }},
    {"bitmod", [](int bits) { return vectors("bitmod", 64, {bits}); }},
    {"scalar", [](int bits) { return of_rate("grid", bits); }},
};

/// The code, trained where there is something to train; null: there is none at this rate.
CodePtr make_code(CodeSettings s, std::uint64_t seed, const Progress& progress) {
    const CodeFamily& family = family_of(s);
    if (family.rates(s).any())
        return family.make(s, {tile_rows, HalfBits::whole(static_cast<int>(s.rate))});
    if (s.scope == CodebookScope::tensor) {
        const Matrix x = gaussian(training_weights / s.dim, s.dim, seed ^ training_stream);
        return family.train({x}, s, seed, progress);
    }
    const auto choices = family.stages(s, family.vector_bits(s, s.stage_bits));
    if (choices.empty()) return nullptr;
    s.stage_bits = choices.front();
    return family.has_codebooks ? family.universal(s).front().code
                                : family.make(s, {tile_rows, {}});
}

GaussianResult measure(const Code& code, const char* name, const GaussianBench& bench) {
    const Index d = code.dim();
    const Index n = std::max<Index>(1, bench.weights / d);
    const Index batch = std::max<Index>(1, 512 / d);
    const Index batches = (n + batch - 1) / batch;
    const Matrix x = gaussian(n, d, bench.seed);
    std::vector<double> error(static_cast<std::size_t>(batches), 0.0);
    const auto start = std::chrono::steady_clock::now();
    parallel_for(batches, [&](Index b) {
        const Index from = b * batch;
        const Index count = std::min(batch, n - from);
        std::vector<std::uint64_t> codes(static_cast<std::size_t>(count * code.words()));
        Matrix xhat(count, d);
        code.encode(x.data() + from * d, count, nullptr, codes.data(), xhat.data());
        // Each batch has a place of its own, added up in order afterwards: the same figure at any
        // number of threads.
        error.data()[b] = (x.middleRows(from, count) - xhat).cast<double>().squaredNorm();
    });
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double sum = 0;
    for (const double e : error) sum += e;
    return {name, static_cast<double>(code.bits()) / static_cast<double>(d),
            sum / x.cast<double>().squaredNorm(),
            static_cast<double>(n * d) / std::max(seconds, 1e-9)};
}

}  // namespace

std::vector<std::string> gaussian_bench_codes() {
    std::vector<std::string> names;
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

std::vector<GaussianResult> gaussian_bench(const GaussianBench& bench, const Progress& progress) {
    VQ_ASSERT(bench.bits >= 0 && bench.bits <= 4 && bench.weights >= 1);
    std::vector<GaussianResult> results;
    const std::vector<std::string> names = gaussian_bench_codes();
    if (!bench.code.empty() && std::find(names.begin(), names.end(), bench.code) == names.end())
        throw Error("unknown code", "--code " + bench.code,
                    fmt::format("use one of: {}", fmt::join(names, ", ")));
    const int first = bench.bits > 0 ? bench.bits : 1;
    const int last = bench.bits > 0 ? bench.bits : 4;
    double done = 0;
    const double total =
        (last - first + 1) * static_cast<double>(bench.code.empty() ? names.size() : 1);
    for (int bits = first; bits <= last; ++bits)
        for (const Row& row : rows) {
            if (!bench.code.empty() && bench.code != row.name) continue;
            progress.check();
            progress.report(done, total, fmt::format("{} at {} bits", row.name, bits));
            if (const CodePtr code = make_code(row.settings(bits), bench.seed, progress))
                results.push_back(measure(*code, row.name, bench));
            done += 1;
        }
    if (results.empty())
        throw Error("no such code at this rate",
                    fmt::format("--code {} --bits {}", bench.code, bench.bits),
                    "use another --bits");
    return results;
}

}  // namespace vq
