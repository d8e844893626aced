// SPDX-License-Identifier: Apache-2.0
#include "model/session/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include "base/error.h"
#include "io/families/linear_groups.h"
#include "model/eval_statistics.h"
#include "model/language_model.h"
#include "model/ops/work_split.h"
#include "model/token_loss.h"
#include "vq/run/share_rates.h"

namespace vq {

namespace {

/// The quantized model with some tensors of the original.
class MixedSource final : public WeightSource {
public:
    MixedSource(const WeightSource& quantized, const WeightSource& original,
                const std::vector<std::string>& restored)
        : quantized_(quantized), original_(original), restored_(restored.begin(), restored.end()) {}

    const ModelConfig& config() const override { return quantized_.config(); }
    const TokenizerFiles& tokenizer_files() const override { return quantized_.tokenizer_files(); }
    const std::vector<std::string>& names() const override { return quantized_.names(); }
    bool has(const std::string& name) const override { return quantized_.has(name); }
    TensorShape shape(const std::string& name) const override { return quantized_.shape(name); }
    Matrix read(const std::string& name) const override {
        return (restored_.contains(name) ? original_ : quantized_).read(name);
    }
    std::string content_hash() const override { return quantized_.content_hash(); }

private:
    const WeightSource& quantized_;
    const WeightSource& original_;
    std::set<std::string> restored_;
};

/// Without "model." in front, ".weight" behind, and numbers: "mlp.experts.down_proj".
std::string kind_of(const std::string& name) {
    std::string kind;
    std::size_t at = 0;
    while (at < name.size()) {
        const std::string piece = name.substr(at, name.find('.', at) - at);
        at += piece.size() + 1;
        const bool number = piece.find_first_not_of("0123456789") == std::string::npos;
        if (number || piece == "model" || piece == "layers" || piece == "weight") continue;
        kind += (kind.empty() ? "" : ".") + piece;
    }
    return kind;
}

/// "model.layers.3.mlp.experts.*.down_proj.weight": numbers behind the block's stand for any.
std::string without_expert(const std::string& name) {
    std::string pattern;
    int numbers = 0;
    for (std::size_t at = 0; at < name.size();) {
        const std::string piece = name.substr(at, name.find('.', at) - at);
        at += piece.size() + 1;
        const bool number = piece.find_first_not_of("0123456789") == std::string::npos;
        numbers += number ? 1 : 0;
        pattern += (pattern.empty() ? "" : ".") + (number && numbers > 1 ? "*" : piece);
    }
    return pattern;
}

/// That a run may be stopped, and nothing else: parts of a measurement have no progress of their own.
Progress only_stop(const Progress& progress) {
    Progress quiet;
    quiet.cancelled = progress.cancelled;
    return quiet;
}

/// Windows side by side with the original's hidden states of all of them.
class Measurement {
public:
    Measurement(const WeightSource& original, std::span<const TokenId> tokens, Index ctx,
                Precision precision, const Progress& progress)
        : tokens_(tokens),
          ctx_(ctx),
          windows_(static_cast<Index>(tokens.size()) / ctx),
          precision_(precision),
          original_(original, precision, ctx, progress),
          hidden_(windows_ * ctx, original_.config().hidden_size) {
        check_tokens(tokens, original_.config().vocab_size);
        parallel_for_outer(windows_, [&](Index w) {
            original_.forward(window(w), nullptr, hidden_.row(w * ctx_).data());
        });
    }

    Index windows() const { return windows_; }

    /// KL(original || model) of every window, nats a token.
    std::vector<double> divergence(const WeightSource& source, const Progress& progress) const {
        const LanguageModel model(source, precision_, ctx_, only_stop(progress));
        if (model.config().vocab_size != original_.config().vocab_size ||
            model.config().hidden_size != original_.config().hidden_size)
            throw Error("the models do not belong together",
                        fmt::format("{} tokens of {} numbers, the original has {} of {}",
                                    model.config().vocab_size, model.config().hidden_size,
                                    original_.config().vocab_size, original_.config().hidden_size),
                        "give the checkpoint that the store was made from");
        std::vector<double> kl(static_cast<std::size_t>(windows_));
        std::mutex mutex;
        parallel_for_outer(windows_, [&](Index w) {
            {
                const std::lock_guard lock(mutex);
                progress.check();
            }
            const auto hidden = model.scratch().floats(ctx_ * model.config().hidden_size);
            model.forward(window(w), nullptr, hidden.floats());
            const auto count = static_cast<std::size_t>(ctx_ - 1);
            std::vector<double> nll(count);
            std::vector<double> reference(count);
            std::vector<double> kls(count);
            std::vector<Choice> choices(count);
            token_losses(model, hidden.floats(), &original_, hidden_.row(w * ctx_).data(),
                         window(w).subspan(1),
                         {.nll = nll.data(),
                          .reference_nll = reference.data(),
                          .kl = kls.data(),
                          .choice = choices.data()});
            double sum = 0;
            for (const double x : kls) sum += x;
            kl[static_cast<std::size_t>(w)] = sum / static_cast<double>(count);
        });
        return kl;
    }

private:
    std::span<const TokenId> window(Index w) const {
        return tokens_.subspan(static_cast<std::size_t>(w * ctx_), static_cast<std::size_t>(ctx_));
    }

    std::span<const TokenId> tokens_;
    Index ctx_;
    Index windows_;
    Precision precision_;
    LanguageModel original_;
    Matrix hidden_;
};

}  // namespace

std::vector<SensitivityPart> sensitivity_parts(
    const WeightSource& quantized, Index stretches,
    const std::function<double(const std::string& name)>& bits_of) {
    const ModelConfig& config = quantized.config();
    const Index layers = config.n_layers();
    const Index count = std::clamp<Index>(stretches, 1, layers);
    std::vector<SensitivityPart> parts;
    for (Index s = 0; s < count; ++s) {
        const Index first = layers * s / count;
        const Index last = layers * (s + 1) / count - 1;
        std::map<std::string, std::size_t> places;
        for (Index l = first; l <= last; ++l)
            for (const LinearGroup& group : linear_groups(config, l))
                for (const std::string& name : group.names) {
                    const double bits = bits_of(name);
                    if (bits == 0) continue;
                    const std::string kind = kind_of(name);
                    const auto [place, is_new] = places.try_emplace(kind, parts.size());
                    if (is_new)
                        parts.push_back({.name = fmt::format("{}, layers {}-{}", kind, first, last),
                                         .tensors = {}});
                    SensitivityPart& part = parts[place->second];
                    part.tensors.push_back(name);
                    const TensorShape shape = quantized.shape(name);
                    const double weights =
                        static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
                    part.weights += weights;
                    part.bits += weights * bits;
                }
    }
    for (SensitivityPart& part : parts) part.bits /= part.weights;
    return parts;
}

Sensitivities measure_sensitivities(const WeightSource& quantized, const WeightSource& original,
                                    std::vector<SensitivityPart> parts,
                                    std::span<const TokenId> tokens, Index ctx, Precision precision,
                                    const Progress& progress) {
    const Index windows = static_cast<Index>(tokens.size()) / std::max<Index>(ctx, 1);
    if (ctx < 2 || windows < 2)
        throw Error("the text is shorter than two windows",
                    fmt::format("{} tokens, windows of {}", tokens.size(), ctx),
                    "give a longer text or a smaller --ctx");
    for (const SensitivityPart& part : parts)
        for (const std::string& name : part.tensors)
            if (!original.has(name))
                throw Error("the original has no such tensor", name,
                            "give the checkpoint that the store was made from");
    const double steps = static_cast<double>(parts.size()) + 2;
    progress.report(0, steps, "original");
    const Measurement measurement(original, tokens.first(static_cast<std::size_t>(windows * ctx)),
                                  ctx, precision, only_stop(progress));
    progress.report(1, steps, "as it is");
    const std::vector<double> base = measurement.divergence(quantized, progress);
    Sensitivities result{.tokens = windows * (ctx - 1), .windows = windows, .parts = {}};
    result.kl = mean(base);
    result.kl_error = standard_error(base, result.kl);
    for (std::size_t p = 0; p < parts.size(); ++p) {
        progress.report(static_cast<double>(p) + 2, steps, parts[p].name);
        std::vector<double> kl =
            measurement.divergence(MixedSource(quantized, original, parts[p].tensors), progress);
        for (std::size_t w = 0; w < kl.size(); ++w) kl[w] = base[w] - kl[w];
        parts[p].kl = mean(kl);
        parts[p].error = standard_error(kl, parts[p].kl);
    }
    result.parts = std::move(parts);
    return result;
}

std::vector<double> importances(const Sensitivities& measured) {
    std::vector<double> logs;
    double weights = 0;
    double mean = 0;
    for (const SensitivityPart& part : measured.parts) {
        const double cost = std::max({part.kl, part.error, 1e-12});
        logs.push_back(std::log(cost / part.weights) + part.bits * std::log(4.0));
        weights += part.weights;
        mean += part.weights * logs.back();
    }
    for (double& x : logs)
        x = std::clamp(std::exp(x - mean / weights), least_importance, most_importance);
    return logs;
}

std::string importance_recipe(const Sensitivities& measured, const std::string& comment) {
    std::string text = "# " + comment + "\n";
    const std::vector<double> all = importances(measured);
    for (std::size_t p = 0; p < measured.parts.size(); ++p) {
        const SensitivityPart& part = measured.parts[p];
        text += fmt::format("# {}: KL {:.5f} +- {:.5f} nats a token at {:.4f} bits\n", part.name,
                            part.kl, part.error, part.bits);
        std::string last;  // experts of a block have one line
        for (const std::string& name : part.tensors) {
            const std::string pattern = without_expert(name);
            if (pattern != last)
                text += fmt::format("{}: {{importance: {:.4g}}}\n", pattern, all[p]);
            last = pattern;
        }
    }
    return text;
}

}  // namespace vq
