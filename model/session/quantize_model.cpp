// SPDX-License-Identifier: Apache-2.0
#include "model/session/quantize_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/cancel.h"
#include "base/error.h"
#include "base/hash.h"
#include "model/session/planned_store.h"
#include "model/session/shared_codebooks.h"
#include "vq/layer/bias.h"
#include "vq/layer/hessian_factors.h"
#include "vq/layer/planned_tensor.h"
#include "vq/layer/quantize_layer.h"
#include "vq/layer/round_tensor.h"
#include "vq/run/share_rates.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

using Clock = std::chrono::steady_clock;

/// What an array costs in a store beside its bytes, about.
constexpr std::int64_t array_overhead = 500;

double weights_of(TensorShape shape) {
    return static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
}

/// What a tensor counts for in the time that is left: its weights, where they are searched for. A
/// table's that are only rounded, hundreds of times as fast, would make a small model look half
/// done when it is nearly done.
double work_of(const TensorPlan& t) {
    return weights_of(t.shape) / (is_rounded(t) ? 256 : 1);
}

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

/// Settings that this run cannot follow, told before it starts.
void note_idle_settings(const ModelPlan& plan, const HessianSource& hessians,
                        const Progress& progress) {
    const auto any = [&](auto&& idle) {
        return std::any_of(plan.tensors.begin(), plan.tensors.end(),
                           [&](const TensorPlan& t) { return idle(t.settings); });
    };
    if (any([](const Settings& s) {
            return s.code.scope != CodebookScope::tensor && s.passes > 1;
        }))
        progress.log(
            "codebooks are shared by tensors here: feedback runs once, feedback.passes is "
            "for codebooks of a tensor's own");
    if (any([](const Settings& s) { return s.correction > 0; }) &&
        (hessians.walk == nullptr || !hessians.quantized_prefix))
        progress.log(
            "objective.correction does nothing here: it needs text that flows through the layers "
            "quantized so far (--hessians quantized)");
}

/// What the tensors of one group are quantized with.
struct GroupInputs {
    explicit GroupInputs(Index cols) : sum(cols) {}
    HessianSum sum;
    DriftSum drift;
};

/// One run of a plan.
class Run {
public:
    Run(const WeightSource& source, const HessianSource& hessians, const ModelPlan& plan,
        std::uint64_t seed, StoreWriter& store, const Progress& progress)
        : source_(source),
          hessians_(hessians),
          plan_(plan),
          seed_(seed),
          store_(store),
          progress_(progress),
          shared_(source, plan, seed) {
        for (const TensorPlan& t : plan.tensors) total_ += work_of(t);
    }

    QuantizeReport operator()(StoreMeta meta) {
        foretell(meta);
        if (feeds_on()) looked_up();
        for (Index l = 0; l < source_.config().n_layers(); ++l) block(l);
        summarize();
        embeddings();
        for (const std::string& name : source_.names())
            if (!store_.has(name)) {
                progress_.check();
                StoredTensor kept = store_dense(name, source_.read(name), is_table(name));
                if (is_foreign(source_.config(), name)) keep_dims(kept, source_.dims(name));
                store_.write_part(kept);
            }
        meta.shared = shared_.arrays();
        store_.finish(meta, source_.names());
        if (plan_.file_bytes > 0 && outlines_.file_bytes() > plan_.file_bytes)
            progress_.log(fmt::format("the file has {} bytes, more than the {} asked for",
                                      outlines_.file_bytes(), plan_.file_bytes));
        report_.scope = plan_.scope;
        return std::move(report_);
    }

private:
    bool is_table(const std::string& name) const {
        const std::vector<std::string> tables = table_names(source_.config());
        return std::find(tables.begin(), tables.end(), name) != tables.end();
    }

    void block(Index layer) {
        progress_.report(done_, total_, fmt::format("layer {}", layer));
        const std::vector<LinearGroup> groups = linear_groups(source_.config(), layer);
        for (std::size_t g = 0; g < groups.size(); ++g)
            group(layer, static_cast<Index>(g), groups[g]);
        if (hessians_.walk == nullptr) return;
        if (auto tokens = hessians_.walk->expert_tokens(); !tokens.empty()) {
            report_.experts.push_back(expert_report(layer, std::move(tokens), widest_input(layer)));
            progress_.log(expert_line(report_.experts.back()));
        }
        hessians_.walk->finish(layer);
    }

    /// Of the layers of its experts: one that saw as many tokens leans on no others for its `down`.
    Index widest_input(Index layer) const {
        const ModelConfig& config = source_.config();
        return std::max<Index>(config.hidden_size,
                               config.layers[static_cast<std::size_t>(layer)].mixture.width);
    }

    void group(Index layer, Index index, const LinearGroup& names) {
        std::vector<std::size_t> tensors;
        for (std::size_t i = 0; i < plan_.tensors.size(); ++i) {
            const TensorPlan& t = plan_.tensors[i];
            if (t.layer == layer && t.group == index) tensors.push_back(i);
        }
        // Trained even if nothing is left to do: the store must hold them.
        for (const std::size_t i : tensors) shared_.of(i, progress_);
        GroupInputs inputs(names.cols);
        if (!std::all_of(tensors.begin(), tensors.end(),
                         [&](std::size_t i) { return finished(i); }))
            collect(layer, index, names, tensors, inputs);
        HessianFactors factors(inputs.sum);
        for (const std::size_t i : tensors) {
            progress_.check();
            const bool last = i == tensors.back();
            if (finished(i))
                reuse(i);
            else
                quantize(i, seed_of(seed_, names.names.front()), inputs, factors, last);
            progress_.report(done_, total_, fmt::format("layer {}", layer));
        }
    }

    void collect(Index layer, Index index, const LinearGroup& names,
                 const std::vector<std::size_t>& tensors, GroupInputs& inputs) {
        progress_.report(done_, total_, fmt::format("layer {} inputs", layer));
        if (hessians_.walk == nullptr) {
            inputs.sum = hessians_.lookup(names);
            return;
        }
        const bool correct = std::any_of(tensors.begin(), tensors.end(), [&](std::size_t i) {
            return plan_.tensors[i].settings.correction > 0;
        });
        hessians_.walk->collect(layer, index, inputs.sum, correct ? &inputs.drift : nullptr);
    }

    /// With its bias, where that was corrected with the weights.
    bool finished(std::size_t i) const {
        const TensorPlan& t = plan_.tensors[i];
        const std::string bias = bias_of(t.name);
        return store_.has(t.name) && (!t.settings.bias || !source_.has(bias) || store_.has(bias));
    }

    void reuse(std::size_t i) {
        TensorReport t;
        t.resumed = true;
        const StoredTensor stored = store_.read_part(plan_.tensors[i].name);
        Matrix what;
        if (feeds_on()) what = decoded(stored);
        add(i, stored, std::move(t), std::move(what));
    }

    void quantize(std::size_t i, std::uint64_t seed, GroupInputs& inputs, HessianFactors& factors,
                  bool last) {
        const auto start = Clock::now();
        const TensorPlan& plan = plan_.tensors[i];
        const Settings s = settings_of(i);
        const Matrix w = source_.read(plan.name);
        const bool drifted = s.correction > 0 && !inputs.drift.empty();
        Matrix corrected;
        if (drifted)
            corrected =
                corrected_weights(w, factors, inputs.drift, s.damping, s.correction, plan.name);
        if (last) {  // matrices as large as the Hessian, of no use to anyone from here on
            factors.drop_cholesky();
            inputs.drift = {};
        }
        const Matrix& target = drifted ? corrected : w;
        QuantizedLayer layer = quantize_layer(target, factors, s, shared_.of(i, progress_), seed,
                                              plan.name, progress_);
        if (drifted) layer.errors = errors_under(w, layer.what, inputs.sum);
        StoredTensor stored = store_tensor(plan.name, layer, s.method);
        stored.bits_per_weight += shared_.share_of(i);
        stored.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        const std::string bias = bias_of(plan.name);
        if (s.bias && source_.has(bias))
            store_.write_part(store_dense(
                bias, corrected_bias(source_.read(bias), target, layer.what, inputs.sum), false));
        store_.write_part(stored);
        TensorReport t;
        t.dead_columns = layer.hessian.dead_columns;
        t.never_seen = layer.hessian.never_seen;
        t.damping = layer.hessian.damping;
        if (layer.refine.before > 0) t.refine_gain = 1.0 - layer.refine.after / layer.refine.before;
        add(i, stored, std::move(t), std::move(layer.what));
    }

    /// As planned, but where the file's size is fixed the codes also make good for what the tensors
    /// before took more or less of it: runs of columns that only the weights decide.
    Settings settings_of(std::size_t i) const {
        const TensorPlan& plan = plan_.tensors[i];
        Settings s = plan.settings;
        if (saved_ != 0 && is_free(plan))
            s.code.rate = rate_within(plan.shape, s,
                                      rate_bits(plan.shape, s) + 8 * static_cast<double>(saved_));
        return s;
    }

    /// Tensor `i` of the plan is as it will be in the file, whose size is fixed. Within a block
    /// its arrays are counted; at its end all of the file is measured as it stands then.
    void spend(std::size_t i, const StoredTensor& stored) {
        if (plan_.file_bytes == 0) return;
        StoredTensor& outline = outlines_.tensors[places_.at(stored.name)];
        const auto bytes = [](const StoredTensor& t) {
            return t.bytes() + array_overhead * static_cast<std::int64_t>(t.arrays.size());
        };
        saved_ += bytes(outline) - bytes(stored);
        outline = stored;
        for (auto& [name, array] : outline.arrays) array.bytes.clear();
        const bool last =
            i + 1 == plan_.tensors.size() || plan_.tensors[i + 1].layer != plan_.tensors[i].layer;
        if (last && i < last_free_) saved_ = foretold_ - outlines_.file_bytes();
    }

    /// The file as it is foretold; afterwards finished tensors take the place of planned ones.
    void foretell(const StoreMeta& meta) {
        if (plan_.file_bytes == 0) return;
        outlines_ = planned_store(source_, plan_, meta);
        for (std::size_t t = 0; t < outlines_.tensors.size(); ++t)
            places_[outlines_.tensors[t].name] = t;
        foretold_ = outlines_.file_bytes();
        for (std::size_t i = 0; i < plan_.tensors.size(); ++i)
            if (is_free(plan_.tensors[i])) last_free_ = i;
    }

    /// A finished linear layer: into the report, and into the text's way.
    void add(std::size_t i, const StoredTensor& stored, TensorReport t, Matrix what) {
        linear_bits_ += 8.0 * static_cast<double>(stored.bytes());
        spend(i, stored);
        describe(i, stored, t);
        note_oddities(t, plan_.tensors[i].settings.damping, progress_);
        if (feeds_on()) {
            hessians_.walk->replace(t.name, std::move(what));
            const std::string bias = bias_of(t.name);
            if (store_.has(bias)) hessians_.walk->replace(bias, decoded(store_.read_part(bias)));
        }
        report_.tensors.push_back(std::move(t));
    }

    /// The embedding before anything reads it, where its code is coarse: the layers see what it
    /// does to the text and make up for it. What the head reads is then the original's.
    void looked_up() {
        for (std::size_t i = 0; i < plan_.tensors.size(); ++i) {
            const TensorPlan& t = plan_.tensors[i];
            if (t.name != source_.config().embedding.weight() || is_rounded(t)) continue;
            progress_.report(done_, total_, t.name);
            HessianSum read_by_head(source_.config().hidden_size);
            if (reads_inputs(t)) read_by_head = hessians_.original_head();
            embedding(i, read_by_head);
            hessians_.walk->replace(t.name, decoded(store_.read_part(t.name)));
            early_ = i;
        }
    }

    /// A table that is still to be made under the inputs of the head.
    bool reads_inputs(const TensorPlan& t) const {
        return t.role == PlanRole::embedding && !store_.has(t.name) &&
               t.settings.objective != Objective::identity;
    }

    /// The other tables of the vocabulary, when the text is at the end of the blocks.
    void embeddings() {
        HessianSum read_by_head(source_.config().hidden_size);
        if (std::any_of(plan_.tensors.begin(), plan_.tensors.end(),
                        [&](const TensorPlan& t) { return reads_inputs(t); })) {
            if (hessians_.walk != nullptr)
                hessians_.walk->collect(source_.config().n_layers(), 0, read_by_head, nullptr);
            else
                progress_.log(
                    "a Hessian file does not say what the head reads: its inputs are taken as "
                    "alike (the identity)");
        }
        for (std::size_t i = 0; i < plan_.tensors.size(); ++i)
            if (plan_.tensors[i].role == PlanRole::embedding && i != early_)
                embedding(i, read_by_head);
    }

    /// Rounded as it stands, where the code is so fine that no Hessian matters; else as a layer.
    void embedding(std::size_t i, const HessianSum& read_by_head) {
        progress_.check();
        const auto start = Clock::now();
        const TensorPlan& plan = plan_.tensors[i];
        const SharedCodes& shared = shared_.of(i, progress_);
        TensorReport t;
        StoredTensor stored;
        if (store_.has(plan.name)) {
            stored = store_.read_part(plan.name);
            t.resumed = true;
        } else {
            const Matrix w = source_.read(plan.name);
            const auto coded = [&](const HessianSum& inputs) {
                return quantize_layer(w, inputs, plan.settings, shared, seed_of(seed_, plan.name),
                                      plan.name, progress_);
            };
            const QuantizedLayer layer = is_rounded(plan)
                                             ? round_tensor(w, plan.settings, plan.name)
                                         : plan.makes_logits ? coded(read_by_head)
                                                             : coded(HessianSum(w.cols()));
            stored = store_tensor(plan.name, layer, plan.settings.method);
            stored.bits_per_weight += shared_.share_of(i);
            stored.spec["role"] = "embedding";
            stored.seconds = std::chrono::duration<double>(Clock::now() - start).count();
            store_.write_part(stored);
        }
        spend(i, stored);
        describe(i, stored, t);
        report_.embeddings.push_back(std::move(t));
        progress_.report(done_, total_, plan.name);
    }

    void describe(std::size_t i, const StoredTensor& stored, TensorReport& t) {
        t.name = plan_.tensors[i].name;
        t.method = plan_.tensors[i].settings.method;
        t.rows = stored.shape.rows;
        t.cols = stored.shape.cols;
        t.bits_per_weight = stored.bits_per_weight;
        t.rel_mse = stored.rel_mse;
        t.rel_proxy = stored.rel_proxy;
        t.seconds = stored.seconds;
        done_ += work_of(plan_.tensors[i]);
    }

    /// What the linear layers amount to, once all are there.
    void summarize() {
        double weights = 0;
        for (const TensorReport& t : report_.tensors) {
            const double n = weights_of({t.rows, t.cols});
            weights += n;
            report_.rel_mse += n * t.rel_mse;
            report_.rel_proxy += n * t.rel_proxy;
        }
        if (weights == 0) return;
        for (const SharingGroup& group : sharing_groups(plan_))
            if (plan_.tensors[group.tensors.front()].role == PlanRole::linear)
                linear_bits_ += group.bits;
        report_.bits_per_weight = linear_bits_ / weights;
        report_.rel_mse /= weights;
        report_.rel_proxy /= weights;
    }

    bool feeds_on() const { return hessians_.walk != nullptr && hessians_.quantized_prefix; }

    Matrix decoded(const StoredTensor& stored) const {
        return decode_stored(stored, shared_.arrays());
    }

    const WeightSource& source_;
    const HessianSource& hessians_;
    const ModelPlan& plan_;
    std::uint64_t seed_;
    StoreWriter& store_;
    const Progress& progress_;
    SharedCodebooks shared_;
    QuantizeReport report_;
    double linear_bits_ = 0;
    std::size_t early_ = std::size_t(-1);  ///< the table that looked_up() made; none: the largest
    // Where the size of the file is fixed:
    PlannedStore outlines_;
    std::map<std::string, std::size_t> places_;  ///< in `outlines_`
    std::int64_t foretold_ = 0;                  ///< bytes of the file, as planned
    std::size_t last_free_ = 0;  ///< tensor of the plan that can make good for others
    std::int64_t saved_ = 0;     ///< of those, by the linear layers so far
    double total_ = 0;           ///< work_of() the plan
    double done_ = 0;
};

}  // namespace

std::vector<TensorPlan> model_tensors(const WeightSource& source) {
    std::vector<TensorPlan> tensors;
    const ModelConfig& config = source.config();
    for (Index l = 0; l < config.n_layers(); ++l) {
        const std::vector<LinearGroup> groups = linear_groups(config, l);
        for (std::size_t g = 0; g < groups.size(); ++g)
            for (const std::string& name : groups[g].names)
                tensors.push_back(
                    {name, source.shape(name), PlanRole::linear, l, static_cast<Index>(g), {}});
    }
    for (const std::string& name : table_names(config))
        tensors.push_back({name, source.shape(name), PlanRole::embedding, -1, -1, Settings(),
                           name == config.output().weight()});
    return tensors;
}

std::string run_fingerprint(const std::string& content_hash, const ModelPlan& plan,
                            const std::string& calibration_hash, bool quantized_prefix,
                            std::uint64_t seed) {
    Hasher hasher;
    // Raised when the same settings come to other bytes: 2: values of uniform grids, ends of scale
    // searches; 3: embeddings are coded.
    hasher.add(std::string_view("vqkit parts 3"));
    hasher.add(content_hash);
    for (const TensorPlan& t : plan.tensors) {
        hasher.add(t.name);
        hasher.add(settings_json(t.settings).dump());
    }
    if (plan.file_bytes > 0) hasher.add(std::to_string(plan.file_bytes));
    hasher.add(calibration_hash);
    hasher.add(std::string_view(quantized_prefix ? "quantized" : "original"));
    hasher.add(std::to_string(seed));
    return hasher.hex();
}

QuantizeReport quantize_model(const WeightSource& source, const HessianSource& hessians,
                              const ModelPlan& plan, std::uint64_t seed, StoreMeta meta,
                              StoreWriter& store, const Progress& progress) {
    check_plan(plan);
    VQ_ASSERT((hessians.walk != nullptr) != static_cast<bool>(hessians.lookup));
    const CancelScope stop(progress.cancelled);
    note_idle_settings(plan, hessians, progress);
    return Run(source, hessians, plan, seed, store, progress)(std::move(meta));
}

}  // namespace vq
