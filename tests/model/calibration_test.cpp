// SPDX-License-Identifier: Apache-2.0
#include "model/calibration.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/families/linear_groups.h"
#include "model/language_model.h"
#include "tests/model/reference.h"
#include "tests/model/tiny_model.h"
#include "vq/layer/bias.h"

namespace vq {
namespace {

using test::MemorySource;
using test::random_model;
using test::random_tokens;

std::vector<std::vector<TokenId>> windows_of(const ModelConfig& config) {
    return {random_tokens(140, config.vocab_size, 41), random_tokens(30, config.vocab_size, 42),
            random_tokens(1, config.vocab_size, 43), random_tokens(140, config.vocab_size, 44)};
}

// X^T X and the column sums over all windows, [layer][group], from the reference implementation.
using Sums = std::vector<std::vector<HessianSum>>;
Sums reference_sums(const MemorySource& source, const std::vector<std::vector<TokenId>>& windows) {
    Sums sums(static_cast<std::size_t>(source.model.n_layers()), std::vector<HessianSum>(4));
    for (const auto& window : windows) {
        const auto inputs = test::reference_forward(source, window).group_input;
        for (std::size_t l = 0; l < sums.size(); ++l)
            for (std::size_t g = 0; g < 4; ++g) {
                const MatrixD& x = inputs[l][g];
                HessianSum& sum = sums[l][g];
                if (sum.cols() == 0) sum = HessianSum(x.cols());
                sum.xxt += x.transpose() * x;
                sum.x += x.colwise().sum().transpose();
                sum.count += x.rows();
            }
    }
    return sums;
}

void expect_close(const HessianSum& got, const HessianSum& want, double relative) {
    EXPECT_EQ(got.count, want.count);
    EXPECT_LT((got.xxt - want.xxt).norm(), relative * want.xxt.norm());
    EXPECT_LT((got.x - want.x).norm(), relative * (want.x.norm() + want.xxt.norm()));
}

std::vector<HessianSum> collect_layer(CalibrationWalk& walk, const ModelConfig& config,
                                      Index layer) {
    std::vector<HessianSum> sums;
    const auto groups = linear_groups(config, layer);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        sums.emplace_back(groups[g].cols);
        walk.collect(layer, static_cast<Index>(g), sums.back());
    }
    return sums;
}

TEST(Bias, StandsBesideItsWeightsWhateverTheyAreCalled) {
    EXPECT_EQ(bias_of("model.layers.0.q_proj.weight"), "model.layers.0.q_proj.bias");
    EXPECT_EQ(bias_of("experts.gate_up_proj[3]"), "experts.gate_up_proj[3].bias");
    EXPECT_EQ(bias_of("input_linear.weight[3]"), "input_linear.weight[3].bias");
}

TEST(CalibrationWalk, SumsEqualThoseOfTheReferenceActivations) {
    for (const ModelConfig& config : {test::tiny_llama(), test::tiny_qwen2()}) {
        const MemorySource source = random_model(config, 51);
        const auto windows = windows_of(config);
        const Sums want = reference_sums(source, windows);
        // Slabs of one window, and the MLP's inside made twice; then everything at once.
        for (const CalibrationOptions& options :
             {CalibrationOptions{.slab_bytes = 1, .keep_bytes = 0}, CalibrationOptions{}}) {
            CalibrationWalk walk(source, windows, options, {});
            EXPECT_EQ(walk.tokens(), 311);
            ASSERT_EQ(walk.layers(), 2);
            for (Index l = 0; l < 2; ++l) {
                const auto sums = collect_layer(walk, source.model, l);
                for (std::size_t g = 0; g < 4; ++g)
                    expect_close(sums[g], want[static_cast<std::size_t>(l)][g], 2e-5);
                walk.finish(l);
            }
        }
    }
}

// After the last block the walk gives what the head of a whole model reads.
TEST(CalibrationWalk, EndsWithTheInputsOfTheHead) {
    const MemorySource source = random_model(test::tiny_llama(), 57);
    const auto windows = windows_of(source.model);
    CalibrationWalk walk(source, windows, {.slab_bytes = 1}, {});
    for (Index l = 0; l < walk.layers(); ++l) walk.finish(l);
    HessianSum sum(source.model.hidden_size);
    walk.collect(walk.layers(), 0, sum);

    HessianSum want(source.model.hidden_size);
    const LanguageModel model(source, Precision::fp32, 0, {});
    for (const auto& window : windows) {
        Matrix hidden(static_cast<Index>(window.size()), source.model.hidden_size);
        model.forward(window, nullptr, hidden.data());
        want.add(hidden.data(), hidden.rows());
    }
    EXPECT_EQ(sum.count, want.count);
    EXPECT_LT((sum.xxt - want.xxt).norm(), 2e-5 * want.xxt.norm());
}

// The text begins with the embedding that is given, and the original's with its own.
TEST(CalibrationWalk, BeginsWithTheEmbeddingInForce) {
    const MemorySource source = random_model(test::tiny_llama(), 58);
    const std::string name = source.model.embedding.weight();
    MemorySource changed = source;
    changed.tensors[name] = 1.5F * source.read(name);
    const auto windows = windows_of(source.model);
    CalibrationWalk walk(source, windows, {.follow_original = true}, {});
    walk.replace(name, changed.read(name));
    CalibrationWalk want(changed, windows, {}, {});
    EXPECT_EQ(walk.stream(), want.stream());
    const auto groups = linear_groups(source.model, 0);
    HessianSum sum(groups[1].cols);
    HessianSum want_sum(groups[1].cols);
    DriftSum drift;
    walk.collect(0, 1, sum, &drift);
    want.collect(0, 1, want_sum);
    EXPECT_EQ(sum.xxt, want_sum.xxt);
    EXPECT_GT(drift.stream.norm(), 0);
}

// Drift is nothing until a weight is replaced, then it is there in what the weight feeds.
TEST(CalibrationWalk, DriftFollowsReplacedWeights) {
    const MemorySource source = random_model(test::tiny_llama(), 55);
    CalibrationWalk walk(source, windows_of(source.model), {.follow_original = true}, {});
    const auto groups = linear_groups(source.model, 0);
    const auto collect = [&](std::size_t g) {
        HessianSum sum(groups[g].cols);
        DriftSum drift;
        walk.collect(0, static_cast<Index>(g), sum, &drift);
        EXPECT_EQ(drift.input.rows(), groups[g].cols);
        EXPECT_EQ(drift.stream.size() > 0, g % 2 == 1);  // o_proj and down_proj add to the stream
        return drift;
    };
    EXPECT_EQ(collect(0).input.norm(), 0);
    const TensorShape shape = source.shape(groups[0].names[2]);
    walk.replace(groups[0].names[2], test::random_matrix(shape.rows, shape.cols, 0.1, 56));
    const DriftSum attention = collect(1);
    EXPECT_GT(attention.input.norm(), 0);
    EXPECT_EQ(attention.stream.norm(), 0);  // the stream is still the embedding
    EXPECT_GT(collect(2).input.norm(), 0);
    const DriftSum down = collect(3);
    EXPECT_GT(down.input.norm(), 0);
    EXPECT_GT(down.stream.norm(), 0);
    walk.finish(0);
}

// After replace(), later inputs are those of a model that has the new weight from the start.
TEST(CalibrationWalk, ReplacedWeightsActOnLaterGroupsOnly) {
    for (const auto& [keep, config] :
         {std::pair{true, test::tiny_llama()}, std::pair{false, test::tiny_qwen2()}}) {
        const MemorySource source = random_model(config, 53);
        const Index vocab = source.model.vocab_size;
        const std::vector<std::vector<TokenId>> windows = {random_tokens(40, vocab, 45),
                                                           random_tokens(9, vocab, 46)};
        const Sums original = reference_sums(source, windows);
        for (std::size_t group = 0; group < 4; ++group) {
            MemorySource changed = source;
            Sums want = original;
            CalibrationWalk walk(source, windows, {.keep_bytes = keep ? 1 << 20 : 0}, {});
            for (std::size_t l = 0; l < 2; ++l) {
                const auto layer = static_cast<Index>(l);
                const auto groups = linear_groups(source.model, layer);
                for (std::size_t g = 0; g < 4; ++g) {
                    HessianSum sum(groups[g].cols);
                    walk.collect(layer, static_cast<Index>(g), sum);
                    expect_close(sum, want[l][g], 2e-5);
                    const bool later = l == 1 || g > group;
                    const MatrixD difference = want[l][g].xxt - original[l][g].xxt;
                    EXPECT_EQ(difference.norm() > 1e-3 * original[l][g].xxt.norm(), later)
                        << "layer " << l << " group " << g;
                    if (l != 0 || g != group) continue;
                    for (const auto& name : groups[g].names) {
                        const TensorShape shape = source.shape(name);
                        changed.tensors[name] =
                            test::random_matrix(shape.rows, shape.cols, 0.1, 54);
                        walk.replace(name, changed.tensors[name]);
                        const std::string bias = bias_of(name);
                        if (!source.has(bias)) continue;
                        changed.tensors[bias] = test::random_matrix(1, shape.rows, 0.5, 55);
                        walk.replace(bias, changed.tensors[bias]);
                    }
                    want = reference_sums(changed, windows);
                }
                walk.finish(layer);
            }
        }
    }
}

TEST(CalibrationWalk, BlocksMayBeFinishedWithoutCollecting) {
    const MemorySource source = random_model(test::tiny_qwen2(), 55);
    const auto windows = windows_of(source.model);
    CalibrationWalk walk(source, windows, {}, {});
    walk.finish(0);
    HessianSum inside(source.model.layers[1].mlp.width);
    walk.collect(1, 3, inside);
    expect_close(inside, reference_sums(source, windows)[1][3], 2e-5);
}

TEST(CalibrationWalk, SameBitsAtAnyNumberOfThreads) {
    const MemorySource source = random_model(test::tiny_llama(), 56);
    const auto windows = windows_of(source.model);
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        std::vector<std::vector<HessianSum>> results;
        for (const int threads : {1, 2, 5}) {
            const test::Threads scope(threads);
            CalibrationWalk walk(source, windows, {.precision = precision, .slab_bytes = 30000},
                                 {});
            walk.finish(0);
            results.push_back(collect_layer(walk, source.model, 1));
        }
        for (const auto& sums : results)
            for (std::size_t g = 0; g < 4; ++g) {
                EXPECT_EQ(sums[g].xxt, results[0][g].xxt) << precision_name(precision) << g;
                EXPECT_EQ(sums[g].x, results[0][g].x);
            }
    }
}

TEST(CalibrationWalk, RefusesNoTokensAndBadTokensAndOverlongWindows) {
    const MemorySource source = random_model(test::tiny_llama(), 57);
    using Windows = std::vector<std::vector<TokenId>>;
    EXPECT_THROW(CalibrationWalk(source, Windows{}, {}, {}), Error);
    EXPECT_THROW(CalibrationWalk(source, Windows{{}}, {}, {}), Error);
    EXPECT_THROW(CalibrationWalk(source, Windows{{1, 700}}, {}, {}), Error);
    EXPECT_THROW(CalibrationWalk(source, Windows{std::vector<TokenId>(513, 1)}, {}, {}), Error);
}

TEST(CalibrationWalk, StopsWhenCancelled) {
    const MemorySource source = random_model(test::tiny_llama(), 58);
    Progress progress;
    progress.cancelled = [] { return true; };
    CalibrationWalk walk(source, windows_of(source.model), {}, progress);
    HessianSum sum(source.model.hidden_size);
    EXPECT_THROW(walk.collect(0, 0, sum), Cancelled);
}

}  // namespace
}  // namespace vq
