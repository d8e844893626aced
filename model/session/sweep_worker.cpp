// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_worker.h"

#include <chrono>
#include <filesystem>
#include <new>

#include "base/error.h"
#include "base/peak_memory.h"
#include "io/files/output_checks.h"
#include "vq/tensor/store_totals.h"
#include "vq/tensor/stored_model.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What a store is, from the store itself: a run that was resumed says the same.
Json store_figures(const std::string& path) {
    const StoreReader store(path);
    const StoreTotals totals = totals_of(store);
    double weights = 0;
    double mse = 0;
    double proxy = 0;
    for (const std::string& name : store.names()) {
        const StoredTensor tensor = store.info(name);
        if (is_dense(tensor) || is_embedding(tensor)) continue;
        const auto n = static_cast<double>(tensor.shape.rows * tensor.shape.cols);
        weights += n;
        mse += n * tensor.rel_mse;
        proxy += n * tensor.rel_proxy;
    }
    return {{"bits_per_weight", totals.bits_per_weight},
            {"model_bytes", totals.model_bytes},
            {"file_bytes", totals.file_bytes},
            {"rel_mse", mse / weights},
            {"rel_proxy", proxy / weights},
            {"fingerprint", store.meta().fingerprint}};
}

/// Whether an earlier run finished this store; one that was damaged since is taken away.
bool is_whole(const std::string& path) {
    if (!std::filesystem::exists(path)) return false;
    try {
        const StoreReader store(path);
        return true;
    } catch (const Error&) {
        std::filesystem::remove(path);
        return false;
    }
}

}  // namespace

SweepWorker::SweepWorker(const SweepSpec& spec, const std::string& folder, std::int64_t kept_sums)
    : spec_(spec), kept_sums_(kept_sums), files_(folder), inputs_(spec) {}

Json SweepWorker::failed_row(const SweepPoint& point, const PointNames& names,
                             const std::string& fault) {
    Json row = {{"point", names.point}};
    row.update(to_json(point));
    row["error"] = fault;
    return row;
}

Json SweepWorker::attempt(const SweepPoint& point, const PointNames& names,
                          const Progress& progress) {
    std::string fault;
    try {
        return make(point, names, progress);
    } catch (const Error& error) {
        return failed_row(point, names, error.what());
    } catch (const Cancelled&) {
        throw;
    } catch (const std::bad_alloc&) {
        fault = "out of memory";
    } catch (const std::exception& error) {
        fault = error.what();
    }
    model_.reset();  // it may be in any state
    return failed_row(point, names, fault);
}

Json SweepWorker::make(const SweepPoint& point, const PointNames& names, const Progress& progress) {
    const std::string store = files_.store(names);
    Json row = {{"point", names.point}, {"store", names.store}};
    row.update(to_json(point));
    row["command"] = quantize_command(point, inputs_.precision(), store);
    forget_peak_memory();
    if (model_ == nullptr || model_->path() != point.model) {
        model_.reset();  // before the next one is read
        model_ = std::make_unique<SweepModel>(point.model, spec_, kept_sums_);
    }
    Json seconds = nullptr;
    if (!is_whole(store)) {
        const Clock::time_point started = Clock::now();
        quantize(point, store, progress);
        seconds = seconds_since(started);
    }
    row.update(store_figures(store));
    row["texts"] = evaluate_store(point, store, progress);
    row["quantize_seconds"] = seconds;
    row["peak_rss_bytes"] = peak_memory();
    files_.write_row(names, row);
    if (!spec_.keep_stores) files_.remove_store(names);
    return row;
}

void SweepWorker::quantize(const SweepPoint& point, const std::string& store,
                           const Progress& progress) {
    const ModelPlan plan = point.plan(model_->session().tensors());
    check_space(store, model_->session().store_bytes(plan));
    model_->use_calibration(point, inputs_.parsed_precision(), progress);
    model_->session().quantize(plan,
                               {.path = store,
                                .resume = true,
                                .seed = point.seed,
                                .command = quantize_provenance(point, inputs_.precision())},
                               progress);
}

Json SweepWorker::evaluate_store(const SweepPoint& point, const std::string& store,
                                 const Progress& progress) {
    Json texts = Json::array();
    if (spec_.evaluation.texts.empty()) return texts;
    model_->prepare_reference(inputs_.parsed_precision(), progress);
    const auto source = open_stored_model(store);
    const LanguageModel model(*source, inputs_.parsed_precision(), model_->ctx(), progress);
    for (std::size_t i = 0; i < spec_.evaluation.texts.size(); ++i) {
        const std::string& path = spec_.evaluation.texts[i];
        Json text = {{"text", path}};
        text.update(to_json(evaluate(model, model_->reference(i), model_->text(i), progress)));
        text["command"] = eval_command(point, spec_.evaluation, inputs_.precision(), store, path);
        texts.push_back(std::move(text));
    }
    return texts;
}

}  // namespace vq
