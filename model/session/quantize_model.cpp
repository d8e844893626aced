// SPDX-License-Identifier: Apache-2.0
#include "model/session/quantize_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "vq/layer/bias.h"
#include "vq/layer/quantize_layer.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

/// Seed of everything random about one tensor. Tensors of a group share it, so that they share
/// their input rotation and an activation needs to be rotated once.
std::uint64_t seed_of(std::uint64_t seed, const std::string& name) {
    const std::string digits = hash_hex(name).substr(0, 12);
    return seed ^ std::stoull(digits, nullptr, 16);
}

/// Codebooks that more than one tensor uses, trained before any Hessian is known.
class SharedCodebooks {
public:
    SharedCodebooks(const WeightSource& source, const Settings& settings, CodebookScope scope,
                    std::uint64_t seed)
        : source_(source), settings_(settings), scope_(scope), seed_(seed) {}

    /// The codes for block `layer`; empty when tensors have their own. Trains them at first use.
    const SharedCodes& of_layer(Index layer, const Progress& progress) {
        if (scope_ == CodebookScope::tensor || !family_of(settings_.code).has_codebooks)
            return current_;
        if (!current_.empty() && (scope_ != CodebookScope::layer || layer == trained_))
            return current_;
        current_.clear();
        trained_ = layer;
        if (scope_ == CodebookScope::universal) {
            current_ = family_of(settings_.code).universal(settings_.code);
            for (const SharedCode& c : current_) arrays_[c.name] = store_codebook(*c.code);
            return current_;
        }
        std::vector<std::string> names;
        const bool all = scope_ == CodebookScope::model;
        const Index first = all ? 0 : layer;
        const Index last = all ? source_.config().n_layers() : layer + 1;
        for (Index l = first; l < last; ++l)
            for (const LinearGroup& g : linear_groups(source_.config(), l))
                names.insert(names.end(), g.names.begin(), g.names.end());
        const std::string label = all ? "model" : fmt::format("layer.{}", layer);
        current_.push_back({label, train(names, settings_.code, progress)});
        if (settings_.code.outliers > 0)
            current_.push_back(
                {label + ".outliers", train(names, outlier_settings(settings_.code), progress)});
        for (const SharedCode& c : current_) arrays_[c.name] = store_codebook(*c.code);
        return current_;
    }

    /// Those that the store must hold.
    const std::map<std::string, Array>& arrays() const { return arrays_; }

private:
    CodePtr train(const std::vector<std::string>& names, const CodeSettings& code,
                  const Progress& progress) {
        const Index each =
            std::max<Index>(1, code.kmeans.samples / static_cast<Index>(names.size()));
        Matrix all(0, code.dim);
        std::vector<Matrix> parts;
        Index rows = 0;
        for (const std::string& name : names) {
            progress.check();
            parts.push_back(sample_vectors(source_.read(name), settings_, code.dim, each,
                                           seed_of(seed_, name)));
            rows += parts.back().rows();
        }
        all.resize(rows, code.dim);
        Index at = 0;
        for (const Matrix& part : parts) {
            all.middleRows(at, part.rows()) = part;
            at += part.rows();
        }
        return family_of(code).train({.x = all}, code, seed_, progress);
    }

    const WeightSource& source_;
    const Settings& settings_;
    CodebookScope scope_;
    std::uint64_t seed_;
    Index trained_ = -1;
    SharedCodes current_;
    std::map<std::string, Array> arrays_;
};

void note_oddities(const TensorReport& t, double wanted_damping, const Progress& progress) {
    if (t.never_seen)
        progress.log(
            fmt::format("{}: no calibration token reached this layer; its Hessian is taken "
                        "as the identity",
                        t.name));
    else if (t.dead_columns > 0)
        progress.log(
            fmt::format("{}: {} of {} inputs were always zero", t.name, t.dead_columns, t.cols));
    if (t.damping > wanted_damping * 1.5 && !t.never_seen)
        progress.log(
            fmt::format("{}: damping raised to {:.3g} of the mean diagonal", t.name, t.damping));
}

}  // namespace

LayerShapes quantized_shapes(const WeightSource& source) {
    LayerShapes shapes;
    for (Index l = 0; l < source.config().n_layers(); ++l) {
        auto& layer = shapes.emplace_back();
        for (const LinearGroup& g : linear_groups(source.config(), l))
            for (const std::string& name : g.names) layer.push_back(source.shape(name));
    }
    return shapes;
}

std::string run_fingerprint(const WeightSource& source, const Settings& settings,
                            const std::string& calibration_hash, bool quantized_prefix,
                            std::uint64_t seed) {
    Hasher hasher;
    // Raised when the same settings come to other bytes: 2: values of uniform grids, ends of scale
    // searches.
    hasher.add(std::string_view("vqkit parts 2"));
    hasher.add(source.content_hash());
    hasher.add(settings_json(settings).dump());
    hasher.add(calibration_hash);
    hasher.add(std::string_view(quantized_prefix ? "quantized" : "original"));
    hasher.add(std::to_string(seed));
    return hasher.hex();
}

QuantizeReport quantize_model(const WeightSource& source, const HessianSource& hessians,
                              const Settings& settings, std::uint64_t seed, StoreMeta meta,
                              StoreWriter& store, const Progress& progress) {
    check_settings(settings);
    VQ_ASSERT((hessians.walk != nullptr) != static_cast<bool>(hessians.lookup));
    const LayerShapes shapes = quantized_shapes(source);
    const ScopePlan plan = plan_scope(settings, shapes);
    double total = 0;
    for (const auto& layer : shapes)
        for (const TensorShape& t : layer) total += static_cast<double>(t.rows * t.cols);

    if (plan.scope != CodebookScope::tensor && settings.passes > 1)
        progress.log(
            "codebooks are shared by tensors here: feedback runs once, feedback.passes is "
            "for codebooks of a tensor's own");

    if (settings.correction > 0 && (hessians.walk == nullptr || !hessians.quantized_prefix))
        progress.log(
            "objective.correction does nothing here: it needs text that flows through the layers "
            "quantized so far (--hessians quantized)");

    QuantizeReport report;
    report.scope = plan.scope;
    SharedCodebooks shared(source, settings, plan.scope, seed);
    // With its bias, where that was corrected with the weights.
    const auto finished = [&](const std::string& name) {
        const std::string bias = bias_of(name);
        return store.has(name) && (!settings.bias || !source.has(bias) || store.has(bias));
    };
    std::set<std::string> quantized;
    double stored_bits = 0;
    double done = 0;
    const bool one_for_all =
        plan.scope == CodebookScope::model || plan.scope == CodebookScope::universal;
    const double share =
        one_for_all ? family_of(settings.code).codebook_bits(settings.code) / total : 0.0;

    for (Index l = 0; l < source.config().n_layers(); ++l) {
        progress.report(done, total, fmt::format("layer {}", l));
        const SharedCodes& codes = shared.of_layer(l, progress);
        double layer_weights = 0;
        for (const TensorShape& t : shapes[l])
            layer_weights += static_cast<double>(t.rows * t.cols);
        const double layer_share =
            plan.scope == CodebookScope::layer
                ? family_of(settings.code).codebook_bits(settings.code) / layer_weights
                : share;
        const std::vector<LinearGroup> groups = linear_groups(source.config(), l);
        for (std::size_t g = 0; g < groups.size(); ++g) {
            const LinearGroup& group = groups[g];
            const bool all_there = std::all_of(group.names.begin(), group.names.end(), finished);
            HessianSum sum(group.cols);
            DriftSum drift;
            if (!all_there) {
                progress.report(done, total, fmt::format("layer {} inputs", l));
                if (hessians.walk != nullptr)
                    hessians.walk->collect(l, static_cast<Index>(g), sum,
                                           settings.correction > 0 ? &drift : nullptr);
                else
                    sum = hessians.lookup(group);
            }
            for (const std::string& name : group.names) {
                progress.check();
                const auto start = std::chrono::steady_clock::now();
                TensorReport t;
                t.name = name;
                t.method = settings.method;
                StoredTensor stored;
                Matrix what;
                const std::string bias = bias_of(name);
                if (finished(name)) {
                    stored = store.read_part(name);
                    what = decode_stored(stored, shared.arrays());
                    t.resumed = true;
                } else {
                    const Matrix w = source.read(name);
                    const Matrix target = corrected_weights(w, sum, drift, settings.damping,
                                                            settings.correction, name);
                    QuantizedLayer layer =
                        quantize_layer(target, sum, settings, codes,
                                       seed_of(seed, group.names.front()), name, progress);
                    if (!drift.empty()) layer.errors = errors_under(w, layer.what, sum);
                    stored = store_tensor(name, layer, settings.method);
                    what = std::move(layer.what);
                    t.dead_columns = layer.hessian.dead_columns;
                    t.never_seen = layer.hessian.never_seen;
                    t.damping = layer.hessian.damping;
                    if (layer.refine.before > 0)
                        t.refine_gain = 1.0 - layer.refine.after / layer.refine.before;
                    stored.bits_per_weight += layer_share;
                    stored.seconds =
                        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
                            .count();
                    if (settings.bias && source.has(bias))
                        store.write_part(store_dense(
                            bias, corrected_bias(source.read(bias), target, what, sum)));
                    store.write_part(stored);
                }
                stored_bits += 8.0 * static_cast<double>(stored.bytes());
                t.rows = stored.shape.rows;
                t.cols = stored.shape.cols;
                t.bits_per_weight = stored.bits_per_weight;
                t.rel_mse = stored.rel_mse;
                t.rel_proxy = stored.rel_proxy;
                t.seconds = stored.seconds;
                note_oddities(t, settings.damping, progress);
                if (hessians.walk != nullptr && hessians.quantized_prefix) {
                    hessians.walk->replace(name, std::move(what));
                    if (store.has(bias))
                        hessians.walk->replace(
                            bias, decode_stored(store.read_part(bias), shared.arrays()));
                }
                done += static_cast<double>(t.rows * t.cols);
                quantized.insert(name);
                report.tensors.push_back(std::move(t));
                progress.report(done, total, fmt::format("layer {}", l));
            }
        }
        if (hessians.walk != nullptr) hessians.walk->finish(l);
    }
    for (const auto& [name, array] : shared.arrays())
        stored_bits += 8.0 * static_cast<double>(array.bytes.size());
    report.bits_per_weight = total > 0 ? stored_bits / total : 0.0;

    for (const std::string& name : source.names())
        if (quantized.count(name) == 0 && !store.has(name)) {
            progress.check();
            store.write_part(store_dense(name, source.read(name)));
        }
    meta.shared = shared.arrays();
    store.finish(meta, source.names());
    return report;
}

}  // namespace vq
