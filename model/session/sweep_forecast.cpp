// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/error.h"
#include "model/session/sweep.h"
#include "model/session/sweep_model.h"

namespace vq {

namespace {

/// Bytes of the sums over the inputs of every group of layers.
double sum_bytes(const ModelPlan& plan) {
    std::map<std::pair<Index, Index>, double> widths;
    for (const TensorPlan& t : plan.tensors)
        if (t.role == PlanRole::linear)
            widths[{t.layer, t.group}] = static_cast<double>(t.shape.cols);
    double bytes = 0;
    for (const auto& [group, n] : widths) bytes += 8 * n * (n + 1);
    return bytes;
}

class Forecaster {
public:
    Forecaster(const SweepSpec& spec, const SweepOptions& options, const Progress& progress)
        : spec_(spec),
          options_(options),
          progress_(progress),
          precision_(SweepInputs(spec).parsed_precision()) {}

    SweepForecast run() {
        SweepForecast forecast;
        double stores = 0;
        for (const SweepPoint& point : spec_.points) {
            progress_.check();
            SweepForecast::Point made;
            try {
                made = predict(point);
            } catch (const Error& error) {
                made.row = to_json(point);
                made.row["error"] = error.what();
            }
            forecast.seconds += made.seconds;
            forecast.peak_bytes = std::max(forecast.peak_bytes, made.peak_bytes);
            // While a store is gathered its parts are there too.
            forecast.disk_bytes = std::max(forecast.disk_bytes, stores + 2 * made.model_bytes);
            if (spec_.keep_stores) stores += made.model_bytes;
            forecast.points.push_back(std::move(made));
        }
        return forecast;
    }

private:
    SweepForecast::Point predict(const SweepPoint& point) {
        const bool other = model_ == nullptr || model_->path() != point.model;
        if (other) {
            measured_.clear();
            model_.reset();
            model_ = std::make_unique<SweepModel>(point.model, spec_, options_.kept_sums);
        }
        const Session& session = std::as_const(*model_).session();
        const ModelConfig& config = session.source().config();
        const ModelPlan plan = point.plan(session.tensors());
        const RunForecast run = measure(point, plan);

        SweepForecast::Point made;
        made.row = to_json(point);
        made.bits_per_weight = plan_size(plan).bits_per_weight();
        made.model_bytes = session.model_bytes(plan);
        const Json described = made.row.value("calibration", Json::object());
        const bool keeps = point.hessians == "original" &&
                           sum_bytes(plan) <= static_cast<double>(options_.kept_sums);
        const bool walked = keeps && !other && described == last_walk_;
        last_walk_ = keeps ? described : Json();
        made.seconds = run.quantize_seconds;
        if (!point.hessians_from_file() && !walked) made.seconds += run.text_seconds;
        double evaluated = 0;
        for (std::size_t i = 0; i < spec_.evaluation.texts.size(); ++i)
            evaluated += static_cast<double>(model_->text(i).tokens.size());
        // The reference runs once for all points of a model.
        const double runs = other && spec_.evaluation.reference ? 2 : 1;
        made.seconds += runs * evaluated * run.text_seconds / text_tokens(point);

        made.peak_bytes = run.peak_bytes;
        if (keeps) made.peak_bytes += sum_bytes(plan);
        if (evaluated > 0 && spec_.evaluation.reference)
            made.peak_bytes += 4 * static_cast<double>(config.hidden_size) *
                               (evaluated + static_cast<double>(config.vocab_size));
        return made;
    }

    /// Tokens that the measured time of the text is for: without calibration text, so many that
    /// evaluation can be told from it.
    static double text_tokens(const SweepPoint& point) {
        return point.hessians_from_file() ? 4096 : static_cast<double>(point.calibration.tokens);
    }

    /// One measurement serves all points that differ in nothing that takes time.
    RunForecast measure(const SweepPoint& point, const ModelPlan& plan) {
        Json key = to_json(point);
        key.erase("seed");
        const auto found = measured_.find(key.dump());
        if (found != measured_.end()) return found->second;
        const Session& session = std::as_const(*model_).session();
        const ForecastText text = {
            .tokens = static_cast<std::int64_t>(text_tokens(point)),
            .window = calibration_ctx(point.calibration, session.source().config(), point.model),
            .precision = precision_};
        const RunForecast run = session.forecast(plan, text, point.seed, progress_);
        measured_.emplace(key.dump(), run);
        return run;
    }

    const SweepSpec& spec_;
    const SweepOptions& options_;
    const Progress& progress_;
    Precision precision_;
    std::unique_ptr<SweepModel> model_;
    std::map<std::string, RunForecast> measured_;
    Json last_walk_;
};

}  // namespace

SweepForecast forecast_sweep(const SweepSpec& spec, const SweepOptions& options,
                             const Progress& progress) {
    return Forecaster(spec, options, progress).run();
}

}  // namespace vq
