// SPDX-License-Identifier: Apache-2.0
// Session: a checkpoint and the text or Hessians that runs on it are weighed with. It owns what does
// not change from plan to plan, so that a sweep is a loop over plans: the source, its content hash,
// the calibration text, and the sums of the layers' inputs where no plan changes them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "model/ops/linear.h"
#include "model/session/calibration_files.h"
#include "model/session/forecast.h"
#include "model/session/hessian_input.h"
#include "model/session/original_walk.h"
#include "model/session/quantize_model.h"

namespace vq {

struct SessionOptions {
    /// Sums of the original layers' inputs (n^2 fp64 for inputs of width n) that are kept from plan
    /// to plan take at most so many bytes. 0: none, for a session that carries out one plan.
    std::int64_t kept_sums = 0;
};

/// Which layers calibration text flows through.
enum class TextPath {
    quantized,  ///< those that the plan has quantized so far, then the original ones
    original
};

/// Where a plan's store goes, and what it says of how it was made.
struct StoreRequest {
    std::string path;
    bool resume = false;
    std::uint64_t seed = 0;
    std::string command;    ///< with everything that the result depends on
    Json recipe = nullptr;  ///< recipe_json(), or null
};

/// Memory beside the running plan's: `kept_sums`, and the windows of the text. The factors of
/// Hessians live with the group of layers that they are of (HessianFactors): q, k and v share them,
/// and they are let go before the next group's inputs are summed.
class Session {
public:
    /// Opens a HF folder or a GGUF file. Throws Error for a store: its weights are rounded already.
    explicit Session(const std::string& model, const SessionOptions& options = {});

    const WeightSource& source() const { return *source_; }
    /// Of the source; the files are read for it once.
    const std::string& content_hash();
    /// The tensors that a plan is for.
    std::vector<TensorPlan> tensors() const { return model_tensors(*source_); }
    /// Bytes of all tensors when the plan is carried out, those that stay dense included.
    double model_bytes(const ModelPlan& plan) const;
    /// Bytes of the file when the plan is carried out, as far as the weights do not decide: see
    /// planned_tensor(). Text or Hessians that are not given yet are taken as any others.
    std::int64_t file_bytes(const ModelPlan& plan, const StoreRequest& request) const;
    /// Bytes on disk while it is carried out: parts and the file that is gathered from them are
    /// there at the same time.
    double store_bytes(const ModelPlan& plan) const { return 2 * model_bytes(plan); }

    /// What carrying the plan out would take on this machine, see forecast_run().
    RunForecast forecast(const ModelPlan& plan, const ForecastText& text, std::uint64_t seed,
                         const Progress& progress) const {
        return forecast_run(*source_, plan, text, seed, progress);
    }

    /// From now on plans are weighed with this text; its windows are cut once. Sums of the
    /// original layers' inputs that were kept are let go.
    void use_text(const CalibrationFiles& files, Precision precision, TextPath path,
                  const Progress& progress);
    /// From now on plans are weighed with a Hessian file, which must be of this model (Error).
    void use_hessians(const std::string& file);

    /// Carries a plan out; one of the two functions above must have been called. When it fails,
    /// nothing is left behind; when it is stopped (Cancelled), what is finished stays for a run
    /// with `resume`.
    QuantizeReport quantize(const ModelPlan& plan, const StoreRequest& request,
                            const Progress& progress);

private:
    StoreMeta meta_of(const ModelPlan& plan, const StoreRequest& request,
                      const std::string& model_hash, const std::string& fingerprint) const;
    HessianSum head_inputs(const Progress& progress) const;
    std::unique_ptr<LayerWalk> start_walk(bool follow_original, const Progress& progress) const;

    std::string model_;
    SessionOptions options_;
    std::unique_ptr<WeightSource> source_;
    std::string content_hash_;  ///< empty: not asked for yet

    CalibrationText text_;
    Precision precision_ = Precision::fp32;
    TextPath path_ = TextPath::quantized;
    std::unique_ptr<KeptSums> sums_;
    HessianInput file_;
    std::string calibration_id_;  ///< whatever changes it changes the Hessians
    Json calibration_;            ///< the same for people
};

}  // namespace vq
