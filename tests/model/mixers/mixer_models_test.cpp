// SPDX-License-Identifier: Apache-2.0
// Whole models whose blocks mix tokens in every way that there is.
#include <gtest/gtest.h>

#include <cmath>

#include "io/families/tensor_shape.h"
#include "model/calibration.h"
#include "model/language_model.h"
#include "model/mixers/latent_attention.h"
#include "model/mixers/make_mixer.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

constexpr Index layers = 5;
constexpr Index hidden = 40;

void give(LayerConfig& layer, Index number, std::initializer_list<TensorRole> roles) {
    std::vector<ModelTensor> own;
    for (const TensorRole role : roles) {
        ModelTensor tensor;
        tensor.role = role;
        tensor.name =
            "layer." + std::to_string(number) + "." + std::to_string(static_cast<int>(role));
        own.push_back(tensor);
    }
    // Between the norm before the mixer and the one before the MLP.
    std::erase_if(layer.tensors, [](const ModelTensor& t) {
        return t.role > TensorRole::attention_norm && t.role < TensorRole::mlp_norm;
    });
    layer.tensors.insert(layer.tensors.begin() + 1, own.begin(), own.end());
}

/// Attention, latent attention with its query in one step and in two, and both kinds of delta nets
/// around a short convolution.
ModelConfig every_mixer() {
    using enum TensorRole;
    ModelConfig config = test::tiny_llama({{"num_hidden_layers", layers + 1}});
    RopeConfig turning = config.ropes.front();
    turning.dims = turning.head_dim = 6;
    turning.interleaved = true;
    config.ropes.push_back(turning);
    const auto layer = [&](Index i) -> LayerConfig& {
        return config.layers[static_cast<std::size_t>(i)];
    };
    for (const Index i : {Index{1}, Index{2}}) {
        layer(i).mixer = Mixer::latent_attention;
        layer(i).latent = {.n_heads = 3,
                           .query_rank = i == 1 ? 0 : 20,
                           .kv_rank = 12,
                           .plain_dim = 8,
                           .rope_dim = 6,
                           .value_dim = 7,
                           .rope = 1,
                           .scale = 0.27};
    }
    give(layer(1), 1,
         {query, latent_key_value_down, latent_key_value_norm, latent_key_value_up, attention_out});
    give(layer(2), 2,
         {latent_query_down, latent_query_norm, latent_query_up, latent_key_value_down,
          latent_key_value_norm, latent_key_value_up, attention_out});
    for (const Index i : {Index{3}, Index{5}}) {
        layer(i).mixer = Mixer::gated_delta;
        layer(i).delta = {.n_key_heads = 2,
                          .n_value_heads = 4,
                          .key_dim = 8,
                          .value_dim = 9,
                          .kernel = 4,
                          .interleaved = i == 5};
    }
    give(layer(3), 3,
         {delta_query_key_value, delta_gate, delta_write, delta_decay, delta_conv, delta_log_decay,
          delta_decay_bias, delta_norm, delta_out});
    give(layer(5), 5,
         {delta_query_key_value_gate, delta_write_decay, delta_conv, delta_log_decay,
          delta_decay_bias, delta_norm, delta_out});
    layer(4).mixer = Mixer::short_conv;
    layer(4).conv.kernel = 3;
    give(layer(4), 4, {conv_in, conv_weight, conv_out});
    for (LayerConfig& l : config.layers)
        for (ModelTensor& tensor : l.tensors) set_shape(config, l, tensor);
    return config;
}

Matrix full(const LanguageModel& model, const std::vector<TokenId>& tokens) {
    Matrix out(static_cast<Index>(tokens.size()), hidden);
    model.forward(tokens, nullptr, out.data());
    return out;
}

TEST(MixerModels, CachedDecodingEqualsFullEvaluation) {
    const test::MemorySource source = test::random_model(every_mixer(), 3);
    const LanguageModel model(source, Precision::fp32, 0, Progress{});
    const std::vector<TokenId> tokens = test::random_tokens(150, source.model.vocab_size, 4);
    const Matrix want = full(model, tokens);
    for (const std::size_t prompt : {std::size_t{1}, std::size_t{140}}) {
        KvCache cache(source.model, 150);
        Matrix got(150, hidden);
        for (std::size_t first = 0; first < tokens.size();) {
            const std::size_t n = first == 0 ? prompt : 1;
            model.forward(std::span(tokens).subspan(first, n), &cache,
                          got.row(static_cast<Index>(first)).data());
            first += n;
        }
        // Attention sums in another order where queries come one by one.
        EXPECT_LT((got - want).cwiseAbs().maxCoeff(), 1e-4F * want.cwiseAbs().maxCoeff())
            << "prompt of " << prompt;
    }
}

TEST(MixerModels, CalibrationTextEndsWhereTheModelDoes) {
    const test::MemorySource source = test::random_model(every_mixer(), 3);
    const std::vector<std::vector<TokenId>> windows = {
        test::random_tokens(70, source.model.vocab_size, 5),
        test::random_tokens(33, source.model.vocab_size, 6)};
    CalibrationWalk walk(source, windows, {}, Progress{});
    for (Index l = 0; l <= layers; ++l) {
        const std::vector<LinearGroup> groups = linear_groups(source.model, l);
        for (std::size_t g = 0; g < groups.size(); ++g) {
            HessianSum sum(groups[g].cols);
            walk.collect(l, static_cast<Index>(g), sum);
            EXPECT_EQ(sum.count, 103) << "layer " << l << " " << groups[g].names.front();
            EXPECT_GT(sum.xxt.diagonal().minCoeff(), 0) << "layer " << l << " group " << g;
        }
        walk.finish(l);
    }
    Matrix stream = walk.stream();
    const Norm norm = load_norm(source, source.model.final_norm, source.model.norm);
    norm.apply(stream.data(), stream.rows(), stream.data(), kernels(active_isa()));
    const LanguageModel model(source, Precision::fp32, 0, Progress{});
    const Matrix first = full(model, windows[0]);
    EXPECT_LT((stream.topRows(70) - first).cwiseAbs().maxCoeff(),
              1e-5F * first.cwiseAbs().maxCoeff());
    const Matrix second = full(model, windows[1]);
    EXPECT_LT((stream.bottomRows(33) - second).cwiseAbs().maxCoeff(),
              1e-5F * second.cwiseAbs().maxCoeff());
}

// A weight that takes the place of the source's is in force for what the mixer does next, also
// where it is used as a matrix and not as a product.
TEST(MixerModels, ReplacedWeightsAreUsed) {
    const ModelConfig config = every_mixer();
    const test::MemorySource source = test::random_model(config, 3);
    const BlockContext context(config, 64);
    const Matrix x = test::random_matrix(20, hidden, 1.0, 7);
    for (Index l = 1; l <= layers; ++l) {
        const LayerWeights plain{source, l};
        const LayerConfig& layer = plain.config();
        const GroupKind last = last_group(layer.mixer);
        Index width = 0;
        for (const ModelTensor& tensor : layer.tensors)
            if (group_of(tensor.role) == last) width = tensor.cols;
        ScratchPool scratch;
        const auto mixed = [&](const LayerWeights& weights) {
            Matrix out(x.rows(), width);
            make_mixer(context, weights)->mix(x.data(), x.rows(), 0, nullptr, out.data(), scratch);
            return out;
        };
        const Matrix before = mixed(plain);
        for (const ModelTensor& tensor : layer.tensors) {
            const auto group = group_of(tensor.role);
            if (!group || group == last || tensor.role > TensorRole::mlp_norm) continue;
            const Replacements other = {
                {tensor.weight(), test::random_matrix(tensor.rows, tensor.cols, 0.3, 9)}};
            const LayerWeights replaced{source, l, Precision::fp32, &other};
            EXPECT_GT((mixed(replaced) - before).cwiseAbs().maxCoeff(), 1e-3F) << tensor.weight();
        }
    }
}

// What the groups inside of latent attention read: both normed, with an epsilon of their own.
TEST(MixerModels, InputsInsideLatentAttentionAreNormed) {
    const ModelConfig config = every_mixer();
    const test::MemorySource source = test::random_model(config, 3);
    const BlockContext context(config, 64);
    const LayerWeights weights{source, 2};
    const auto mixer = make_mixer(context, weights);
    const Matrix x = test::random_matrix(20, hidden, 1.0, 8);
    ScratchPool scratch;
    const auto check = [&](GroupKind group, TensorRole down, TensorRole norm, Index width) {
        Matrix got(x.rows(), width);
        mixer->inputs(group, x.data(), x.rows(), got.data(), scratch);
        const Matrix w = source.read(weights.config().tensor(down).weight());
        const MatrixD y = x.cast<double>() * w.topRows(width).cast<double>().transpose();
        const MatrixD weight = source.read(weights.config().tensor(norm).weight()).cast<double>();
        MatrixD want = y.array().rowwise() * weight.row(0).array();
        for (Index t = 0; t < y.rows(); ++t)
            want.row(t) /= std::sqrt(y.row(t).squaredNorm() / static_cast<double>(width) + 1e-6);
        EXPECT_LT((got.cast<double>() - want).cwiseAbs().maxCoeff(), 1e-5);
    };
    using enum TensorRole;
    check(GroupKind::latent_query, latent_query_down, latent_query_norm, 20);
    check(GroupKind::latent_kv, latent_key_value_down, latent_key_value_norm, 12);
}

}  // namespace
}  // namespace vq
