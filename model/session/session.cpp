// SPDX-License-Identifier: Apache-2.0
#include "model/session/session.h"

#include <set>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/hash.h"
#include "io/families/linear_groups.h"
#include "io/hdf5/store.h"
#include "model/calibration.h"
#include "model/session/planned_store.h"

namespace vq {

namespace {

bool any_correction(const ModelPlan& plan) {
    for (const TensorPlan& t : plan.tensors)
        if (t.settings.correction > 0) return true;
    return false;
}

}  // namespace

Session::Session(const std::string& model, const SessionOptions& options)
    : model_(model), options_(options) {
    if (is_store(model))
        throw Error("already quantized", model, "name the model that it was made from");
    source_ = open_checkpoint(model);
}

const std::string& Session::content_hash() {
    if (content_hash_.empty()) content_hash_ = source_->content_hash();
    return content_hash_;
}

double Session::model_bytes(const ModelPlan& plan) const {
    const PlanSize size = plan_size(plan);
    std::set<std::string> coded;
    for (const TensorPlan& t : plan.tensors) coded.insert(t.name);
    double bytes = (size.linear_bits + size.embedding_bits) / 8;
    // Tables of the vocabulary are kept in 16 bits, all else in 32.
    const std::vector<std::string> tables = table_names(source_->config());
    const std::set<std::string> halved(tables.begin(), tables.end());
    for (const std::string& name : source_->names()) {
        if (coded.contains(name)) continue;
        const TensorShape shape = source_->shape(name);
        bytes += static_cast<double>(shape.rows * shape.cols) * (halved.contains(name) ? 2 : 4);
    }
    return bytes;
}

void Session::use_text(const CalibrationFiles& files, Precision precision, TextPath path,
                       const Progress& progress) {
    text_ = load_calibration(files, *source_, model_, progress);
    precision_ = precision;
    path_ = path;
    sums_ = std::make_unique<KeptSums>(options_.kept_sums);
    file_ = {};
    calibration_ = {{"hash", text_.hash}, {"tokens", text_.tokens}};
    calibration_id_ = text_.hash + " " + precision_name(precision);
}

void Session::use_hessians(const std::string& file) {
    file_ = open_hessians(file, content_hash());
    text_ = {};
    sums_.reset();
    calibration_ = {{"hessians_hash", file_.hash}};
    calibration_id_ = file_.hash;
}

std::unique_ptr<LayerWalk> Session::start_walk(bool follow_original,
                                               const Progress& progress) const {
    return std::make_unique<CalibrationWalk>(
        *source_, text_.windows,
        CalibrationOptions{.precision = precision_, .follow_original = follow_original}, progress);
}

StoreMeta Session::meta_of(const ModelPlan& plan, const StoreRequest& request,
                           const std::string& model_hash, const std::string& fingerprint) const {
    StoreMeta meta;
    meta.fingerprint = fingerprint;
    meta.seed = request.seed;
    meta.tool_version = VQKIT_VERSION;
    meta.config_json = source_->config().hf_json;
    meta.tokenizer = source_->tokenizer_files();
    meta.provenance = {{"command", request.command},
                       {"calibration", calibration_},
                       {"settings", settings_json(plan.settings)},
                       {"model_hash", model_hash},
                       {"vqkit", VQKIT_VERSION}};
    if (!request.recipe.is_null()) meta.provenance["recipe"] = request.recipe;
    return meta;
}

std::int64_t Session::file_bytes(const ModelPlan& plan, const StoreRequest& request) const {
    // All hashes are of one length, and that is all that a size asks of them.
    const std::string any_hash = hash_hex("");
    StoreMeta meta = meta_of(plan, request, any_hash, any_hash);
    if (calibration_id_.empty())
        meta.provenance["calibration"] = {{"hash", any_hash},
                                          {"tokens", CalibrationFiles().tokens}};
    return planned_store(*source_, plan, std::move(meta)).file_bytes();
}

HessianSum Session::head_inputs(const Progress& progress) const {
    const std::unique_ptr<LayerWalk> walk = start_walk(false, progress);
    const ModelConfig& config = source_->config();
    for (Index l = 0; l < config.n_layers(); ++l) walk->finish(l);
    HessianSum sum(config.hidden_size);
    walk->collect(config.n_layers(), 0, sum, nullptr);
    return sum;
}

QuantizeReport Session::quantize(const ModelPlan& plan, const StoreRequest& request,
                                 const Progress& progress) {
    VQ_ASSERT(!calibration_id_.empty());
    const CancelScope stop(progress.cancelled);  // of the checkpoint's hash too
    HessianSource hessians;
    std::unique_ptr<LayerWalk> walk;
    if (file_.lookup) {
        hessians.lookup = file_.lookup;
        hessians.quantized_prefix = false;
    } else {
        hessians.quantized_prefix = path_ == TextPath::quantized;
        if (hessians.quantized_prefix) {
            walk = start_walk(any_correction(plan), progress);
            hessians.original_head = [&] { return head_inputs(progress); };
        } else {
            walk =
                std::make_unique<OriginalWalk>([&] { return start_walk(false, progress); }, *sums_);
        }
        hessians.walk = walk.get();
    }
    const StoreMeta meta = meta_of(plan, request, content_hash(),
                                   run_fingerprint(content_hash(), plan, calibration_id_,
                                                   hessians.quantized_prefix, request.seed));
    StoreWriter store(request.path, meta.fingerprint, request.resume);
    try {
        return quantize_model(*source_, hessians, plan, request.seed, meta, store, progress);
    } catch (const Error&) {
        store.discard(!request.resume);
        throw;
    } catch (...) {
        store.discard(false);
        throw;
    }
}

}  // namespace vq
