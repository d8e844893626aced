// SPDX-License-Identifier: Apache-2.0
#include "model/session/forecast.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>

#include "base/gemm.h"
#include "base/rng.h"
#include "io/families/linear_groups.h"
#include "model/calibration.h"
#include "model/mixers/make_mixer.h"
#include "model/session/shared_codebooks.h"
#include "vq/layer/quantize_layer.h"

namespace vq {

namespace {

constexpr Index widest_probe = 1536;
constexpr Index few_rows = 32;
constexpr Index many_rows = 160;

// A process that has read nothing yet: code, libraries and their threads' buffers.
constexpr double empty_process = 60e6;

using Clock = std::chrono::steady_clock;

template <class F>
double seconds_of(F&& f) {
    const auto start = Clock::now();
    f();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

Matrix random_rows(Index rows, Index cols, std::uint64_t seed) {
    Matrix m(rows, cols);
    for (Index i = 0; i < m.size(); ++i)
        m.data()[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return m;
}

// Seconds of one tensor (m, n): m (a n + b n^2) for its rows, c n^3 for the factors of its inputs'
// Hessian, which tensors of a group share, and d.
struct QuantizeCost {
    double a = 0;
    double b = 0;
    double c = 0;
    double d = 0;

    double rows(double m, double n) const { return m * n * (a + b * n) + d; }
    double factors(double n) const { return c * n * n * n; }
};

class Probe {
public:
    Probe(const TensorPlan& tensor, const SharedCodes& shared, std::uint64_t seed,
          const Progress& progress)
        : settings_(tensor.settings), shared_(shared), seed_(seed), progress_(progress) {}

    QuantizeCost measure(Index widest) const {
        const Index n2 = std::min(widest, widest_probe);
        const Index n1 = std::max<Index>(128, n2 / 256 * 128);
        const Line wide = line(n2);
        QuantizeCost cost;
        if (n1 >= n2) {
            cost.a = wide.slope / static_cast<double>(n2);
            cost.d = wide.fixed;
            return cost;
        }
        const Line narrow = line(n1);
        const auto x1 = static_cast<double>(n1);
        const auto x2 = static_cast<double>(n2);
        // Measurements are noisy: no part of the cost may fall with the size.
        cost.b = std::max(0.0, (wide.slope / x2 - narrow.slope / x1) / (x2 - x1));
        cost.a = std::max(0.0, wide.slope / x2 - cost.b * x2);
        cost.c = std::max(0.0, (wide.fixed - narrow.fixed) / (x2 * x2 * x2 - x1 * x1 * x1));
        cost.d = std::max(0.0, wide.fixed - cost.factors(x2));
        return cost;
    }

private:
    struct Line {
        double fixed;
        double slope;  // a row
    };

    Line line(Index n) const {
        // Twice as many inputs as columns: a Hessian of full rank.
        HessianSum sum(n);
        sum.add(random_rows(2 * n, n, seed_ + 1).data(), 2 * n);
        const double few = seconds(sum, few_rows);
        const double many = seconds(sum, many_rows);
        const double slope = std::max(0.0, many - few) / static_cast<double>(many_rows - few_rows);
        return {std::max(0.0, few - slope * static_cast<double>(few_rows)), slope};
    }
    double seconds(const HessianSum& sum, Index rows) const {
        const Matrix w = random_rows(rows, sum.cols(), seed_ + 2);
        return seconds_of(
            [&] { quantize_layer(w, sum, settings_, shared_, seed_, "probe", progress_); });
    }

    const Settings& settings_;
    const SharedCodes& shared_;
    std::uint64_t seed_;
    const Progress& progress_;
};

// Multiply-adds a second, of products with weights and of sums x x^T (n^2 a token).
struct Rates {
    double product;
    double gram;
};

Rates measure_rates(Precision precision, std::uint64_t seed) {
    constexpr Index n = 1024;
    constexpr Index tokens = 1024;
    const Matrix w = random_rows(n, n, seed + 3);
    const Matrix x = random_rows(tokens, n, seed + 4);
    const Matrix* const only = &w;
    const Linear linear(std::span<const Matrix* const>(&only, 1), Vector(), precision);
    Matrix y(tokens, n);
    ScratchPool scratch;
    MatrixD h = MatrixD::Zero(n, n);
    constexpr double work = static_cast<double>(n) * n * tokens;
    double product = 1e9;
    double gram = 1e9;
    for (int i = 0; i < 3; ++i) {  // the first one wakes threads and generates kernels
        product = std::min(product,
                           seconds_of([&] { linear.apply(x.data(), tokens, y.data(), scratch); }));
        gram = std::min(gram, seconds_of([&] { add_gram(x.data(), tokens, n, h); }));
    }
    return {work / product, work / gram};
}

bool corrects(const ModelPlan& plan) {
    return std::any_of(plan.tensors.begin(), plan.tensors.end(),
                       [](const TensorPlan& t) { return t.settings.correction > 0; });
}

// Of the tokens, those that a group reads: an expert's share of them.
double share_of(const LayerConfig& layer, const LinearGroup& group) {
    return group.expert < 0 ? 1 : layer.mixture.active_share();
}

double rows_of(const WeightSource& source, const LinearGroup& group) {
    double rows = 0;
    for (const std::string& name : group.names)
        rows += static_cast<double>(source.shape(name).rows);
    return rows;
}

double text_seconds(const WeightSource& source, const ModelPlan& plan, const ForecastText& text,
                    const Rates& rates) {
    const ModelConfig& config = source.config();
    const bool drift = corrects(plan);
    const auto tokens = static_cast<double>(text.tokens);
    double products = 0;
    double grams = 0;
    for (Index l = 0; l < config.n_layers(); ++l) {
        const LayerConfig& layer = config.layers[static_cast<std::size_t>(l)];
        for (const LinearGroup& group : linear_groups(config, l)) {
            const auto n = static_cast<double>(group.cols);
            const double seen = tokens * share_of(layer, group);
            products += seen * n * rows_of(source, group);
            grams += seen * n * n;
            // What moved the inputs: a product that is not symmetric, twice the work of a sum.
            if (drift) grams += 2 * seen * n * n;
            // An expert that sees few tokens runs on a sample of all of them (ExpertWalk).
            if (group.kind != GroupKind::expert_down || seen >= n) continue;
            const double sampled = std::min(tokens, 2 * n);
            products += 2 * sampled * n * static_cast<double>(config.hidden_size);
            grams += sampled * n * n;
        }
        // Its other layers lean on the inputs of all tokens.
        if (layer.mixture.n_experts > 0)
            grams += tokens * static_cast<double>(config.hidden_size * config.hidden_size);
        // Scores and their products with values; half of them are masked, but made in tiles.
        if (layer.mixer == Mixer::attention)
            products += tokens * static_cast<double>(text.window) *
                        static_cast<double>(layer.attention.n_heads * layer.attention.head_dim);
    }
    // What the head reads is known before the first block where the embedding needs it.
    const bool ahead =
        std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const TensorPlan& t) {
            return t.makes_logits && t.name == config.embedding.weight() && !is_rounded(t);
        });
    return products * ((drift ? 2 : 1) + (ahead ? 1 : 0)) / rates.product + grams / rates.gram;
}

double quantize_seconds(const WeightSource& source, const QuantizeCost& cost) {
    double seconds = 0;
    const ModelConfig& config = source.config();
    for (Index l = 0; l < config.n_layers(); ++l)
        for (const LinearGroup& group : linear_groups(config, l)) {
            const auto n = static_cast<double>(group.cols);
            seconds += cost.factors(n);
            for (const std::string& name : group.names)
                seconds += cost.rows(static_cast<double>(source.shape(name).rows), n);
        }
    return seconds;
}

}  // namespace

namespace {

/// What the walk holds of the text inside a block, beside the stream: see CalibrationWalk.
double kept_of_block(const ModelConfig& config, Index l, double tokens) {
    const LayerConfig& layer = config.layers[static_cast<std::size_t>(l)];
    const double stream = 4 * tokens * static_cast<double>(config.hidden_size);
    const auto limit = static_cast<double>(CalibrationOptions().keep_bytes);
    double kept = 0;
    for (const LinearGroup& group : linear_groups(config, l)) {
        const double inputs = 4 * tokens * static_cast<double>(group.cols);
        const bool mixed = group.kind == last_group(layer.mixer);
        // The MLP's inside is made twice where it is too large.
        if (mixed || (group.kind == GroupKind::down && inputs <= limit))
            kept = std::max(kept, inputs);
    }
    if (layer.parallel) kept += stream;
    if (layer.mixture.n_experts > 0) kept += stream;  // what the experts gave
    return kept;
}

/// Weights that take the place of a block's while it is quantized: of one expert at a time.
double replaced_of_block(const LayerConfig& layer) {
    double plain = 0;
    double expert = 0;
    for (const ModelTensor& t : layer.tensors) {
        if (!group_of(t.role)) continue;
        const double bytes = 4 * static_cast<double>(t.rows) * static_cast<double>(t.cols);
        if (t.expert < 0) plain += bytes;
        if (t.expert == 0) expert += bytes;
    }
    return plain + expert;
}

/// What the walk holds of the text from block to block, beside the stream.
double kept_of_walk(const ModelConfig& config, double tokens) {
    const LayerInputs& inputs = config.layer_inputs;
    // Of every word, of which a text has no more than tokens.
    double kept = 4 * std::min(tokens, static_cast<double>(config.vocab_size)) *
                  static_cast<double>(config.n_layers() * inputs.width);
    for (const LayerConfig& layer : config.layers)
        if (layer.attention.lends_keys)
            kept += 8 * tokens *
                    static_cast<double>(layer.attention.n_kv_heads * layer.attention.head_dim);
    return kept;
}

}  // namespace

double forecast_peak(const ModelConfig& config, const ModelPlan& plan, const ForecastText& text) {
    const double streams = corrects(plan) ? 2 : 1;
    const auto tokens = static_cast<double>(text.tokens);
    double kept = 0;      // of a block, beside the stream
    double replaced = 0;  // weights of a block
    double heaviest = 0;  // a tensor and all that it is quantized with
    double weights = 0;   // of a group, while the text flows through it
    for (const TensorPlan& t : plan.tensors) {
        const auto m = static_cast<double>(t.shape.rows);
        const auto n = static_cast<double>(t.shape.cols);
        const double w = 4 * m * n;
        if (is_rounded(t)) {
            heaviest = std::max(heaviest, 2 * w);
            continue;
        }
        // The guide's formula; the drift is D (n, n) and S (m, n), and the corrected weights.
        const double h = 8 * n * n;
        const double drift = t.settings.correction > 0 ? h + 2 * w + w : 0;
        heaviest = std::max(heaviest, 2 * w + 2.5 * h + drift);
        weights = std::max(weights, 2 * w);
    }
    for (Index l = 0; tokens > 0 && l < config.n_layers(); ++l) {
        kept = std::max(kept, kept_of_block(config, l, tokens));
        replaced =
            std::max(replaced, replaced_of_block(config.layers[static_cast<std::size_t>(l)]));
    }
    const double stream = 4 * tokens * static_cast<double>(config.hidden_size);
    const double slab = tokens > 0 ? static_cast<double>(CalibrationOptions().slab_bytes) : 0;
    double embedding = 4 * static_cast<double>(config.embedding.rows * config.embedding.cols);
    if (config.layer_inputs.width > 0)
        embedding += 4 * static_cast<double>(config.layer_inputs.embedding.rows *
                                             config.layer_inputs.embedding.cols);
    const double flowing = streams * (stream + kept + kept_of_walk(config, tokens)) + replaced;
    return empty_process + std::max({flowing + heaviest, flowing + streams * (slab + weights),
                                     streams * stream + (tokens > 0 ? embedding : 0)});
}

RunForecast forecast_run(const WeightSource& source, const ModelPlan& plan,
                         const ForecastText& text, std::uint64_t seed, const Progress& progress) {
    RunForecast forecast;
    forecast.peak_bytes = forecast_peak(source.config(), plan, text);
    Index widest = 0;
    std::size_t first = plan.tensors.size();
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
        if (plan.tensors[i].role != PlanRole::linear) continue;
        first = std::min(first, i);
        widest = std::max(widest, plan.tensors[i].shape.cols);
    }
    if (first == plan.tensors.size()) return forecast;
    SharedCodebooks codebooks(source, plan, seed);
    const SharedCodes* shared = nullptr;
    const double training = seconds_of([&] { shared = &codebooks.of(first, progress); });
    const QuantizeCost cost = Probe(plan.tensors[first], *shared, seed, progress).measure(widest);
    forecast.quantize_seconds =
        quantize_seconds(source, cost) +
        training * static_cast<double>(std::max<std::size_t>(1, sharing_groups(plan).size()));
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
        const TensorPlan& t = plan.tensors[i];
        if (t.role != PlanRole::embedding || is_rounded(t)) continue;
        const QuantizeCost own =
            Probe(t, codebooks.of(i, progress), seed, progress).measure(t.shape.cols);
        const auto n = static_cast<double>(t.shape.cols);
        forecast.quantize_seconds +=
            own.factors(n) + own.rows(static_cast<double>(t.shape.rows), n);
    }
    if (text.tokens > 0)
        forecast.text_seconds =
            text_seconds(source, plan, text, measure_rates(text.precision, seed));
    return forecast;
}

}  // namespace vq
