// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/residual_family.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "codebooks/residual/residual_code.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/residual/scalar_grid.h"
#include "codebooks/residual/universal.h"

namespace vq {

namespace {

constexpr int most_bits = 64;

void check(const CodeSettings& s) {
    if (s.grid != Grid::gaussian &&
        (s.dim != 1 || s.stage_bits.size() != 1 || s.scope != CodebookScope::universal))
        throw Error("a fixed grid is for single weights", "code.grid",
                    "use code.dim=1, code.scope=universal and one stage");
}

/// With universal codebooks those that are shipped; others can be of any size.
std::vector<std::vector<int>> stages(const CodeSettings& s, int bits) {
    std::vector<std::vector<int>> all;
    if (s.scope != CodebookScope::universal) {
        if (bits <= most_bits) all = {split_bits(bits, s.most_stage_bits)};
        return all;
    }
    if (s.dim == 1) {
        for (const int b : scalar_grid_bits(s.grid))
            if (b == bits) all.push_back({b});
        return all;
    }
    all = universal_stages(s.dim);
    if (all.empty())
        throw Error("no universal codebook for vectors of this length",
                    fmt::format("code.dim={}", s.dim), "use 8 or 1, or --set code.scope=model");
    std::erase_if(all, [&](const std::vector<int>& each) {
        return family_default::vector_bits(s, each) != bits;
    });
    return all;
}

CodePtr make(const CodeSettings& s, const CodePlace& /*place*/) {
    std::vector<Matrix> codebooks;
    for (const int b : s.stage_bits) codebooks.emplace_back(Matrix::Zero(Index{1} << b, s.dim));
    return std::make_shared<ResidualCode>(std::move(codebooks), s.beam, s.revisions);
}

CodePtr train(const TrainingVectors& vectors, const CodeSettings& s, std::uint64_t seed,
              const Progress& progress) {
    ResidualTraining training;
    training.beam = s.beam;
    training.revisions = s.revisions;
    training.kmeans_iterations = s.kmeans.iterations;
    training.joint_rounds = s.kmeans.joint_rounds;
    training.seed = seed;
    training.progress = &progress;
    return train_residual(vectors.x.data(), vectors.x.rows(), s.dim, s.stage_bits, vectors.weights,
                          training);
}

SharedCodes universal(const CodeSettings& s) {
    if (s.dim == 1 && s.stage_bits.size() == 1) {
        const int bits = s.stage_bits.front();
        return {{"universal." + scalar_grid_name(s.grid, bits), scalar_grid(s.grid, bits)}};
    }
    const auto code = universal_code(s.dim, s.stage_bits, s.beam);
    return {{"universal." + universal_name(s.dim, s.stage_bits),
             std::make_shared<ResidualCode>(code->codebooks(), s.beam, s.revisions)}};
}

double codebook_bits(const CodeSettings& s) {
    double bits = 0;
    for (const int b : s.stage_bits) bits += 16.0 * s.dim * static_cast<double>(1 << b);
    if (s.outliers > 0) bits += codebook_bits(outlier_settings(s));
    return bits;
}

CodePtr parse(const Json& entry, const Parameters& parameters, const SpecFault& fail) {
    const auto dim = static_cast<int>(spec_integer(entry, "dim", 1, 64, fail));
    const std::vector<int> bits = parse_stage_bits(entry, fail);
    Index words = 0;
    for (const int b : bits) words += Index{1} << b;
    const std::vector<float> values = parameters(words * dim);
    std::vector<Matrix> codebooks;
    const float* at = values.data();
    for (const int b : bits) {
        codebooks.emplace_back(Eigen::Map<const Matrix>(at, Index{1} << b, dim));
        at += codebooks.back().size();
    }
    return std::make_shared<ResidualCode>(std::move(codebooks), 1);
}

}  // namespace

const CodeFamily residual_family = {
    .name = "residual",
    .summary = "k-means VQ, residual and additive VQ, scalar grids",
    .has_codebooks = true,
    .check = check,
    .stages = stages,
    .make = make,
    .train = train,
    .universal = universal,
    .codebook_bits = codebook_bits,
    .parse = parse,
    .pack = pack_residual,
};

}  // namespace vq
