// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/gaussian_bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "codebooks/bitmod/bitmod_code.h"
#include "codebooks/residual/residual_code.h"
#include "codebooks/residual/scalar_grid.h"
#include "codebooks/residual/universal.h"
#include "lattice/e8p/e8p_code.h"
#include "lattice/trellis/trellis_code.h"

namespace vq {

namespace {

constexpr int beam = 16;
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

CodePtr trained(Index dim, const std::vector<int>& stages, int joint_rounds, std::uint64_t seed) {
    const Matrix x = gaussian(training_weights / dim, dim, seed ^ training_stream);
    ResidualTraining training;
    training.beam = beam;
    training.joint_rounds = joint_rounds;
    training.seed = seed;
    return train_residual(x.data(), x.rows(), dim, stages, nullptr, training);
}

/// The code of a family at `bits` bits a weight, or null.
struct Family {
    const char* name;
    CodePtr (*make)(int bits, std::uint64_t seed);
};

const std::vector<Family>& families() {
    static const std::vector<Family> all = {
        {"trellis",
         [](int bits, std::uint64_t) -> CodePtr {
             return std::make_shared<TrellisCode>(256, bits, 64);
         }},
        {"e8p",
         [](int bits, std::uint64_t) -> CodePtr {
             for (const std::vector<int>& stages : E8pCode::stage_choices()) {
                 auto code = std::make_shared<E8pCode>(stages, beam);
                 if (code->bits() == 8 * bits) return code;
             }
             return nullptr;
         }},
        {"additive",
         [](int bits, std::uint64_t) -> CodePtr {
             for (const std::vector<int>& stages : universal_stages(8)) {
                 const auto code = universal_code(8, stages, beam);
                 if (code->bits() == 8 * bits)
                     return std::make_shared<ResidualCode>(code->codebooks(), beam, 2);
             }
             return nullptr;
         }},
        {"residual",
         [](int bits, std::uint64_t seed) -> CodePtr {
             return trained(8, std::vector<int>(static_cast<std::size_t>(bits), 8), 4, seed);
         }},
        {"kmeans",
         [](int bits, std::uint64_t seed) -> CodePtr { return trained(12 / bits, {12}, 0, seed); }},
        {"bitmod",
         [](int bits, std::uint64_t) -> CodePtr {
             if (bits < 3) return nullptr;
             return std::make_shared<BitmodCode>(64, bits);
         }},
        {"scalar",
         [](int bits, std::uint64_t) -> CodePtr { return scalar_grid(Grid::gaussian, bits); }},
    };
    return all;
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
        error[b] = (x.middleRows(from, count) - xhat).cast<double>().squaredNorm();
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
    for (const Family& family : families()) names.emplace_back(family.name);
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
        for (const Family& family : families()) {
            if (!bench.code.empty() && bench.code != family.name) continue;
            progress.check();
            progress.report(done, total, fmt::format("{} at {} bits", family.name, bits));
            if (const CodePtr code = family.make(bits, bench.seed))
                results.push_back(measure(*code, family.name, bench));
            done += 1;
        }
    if (results.empty())
        throw Error("no such code at this rate",
                    fmt::format("--code {} --bits {}", bench.code, bench.bits),
                    "use another --bits");
    return results;
}

}  // namespace vq
