// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_model.h"

#include "base/error.h"
#include "base/hash.h"
#include "io/files/text_input.h"

namespace vq {

SweepInputs::SweepInputs(const SweepSpec& spec)
    : precision_(spec.precision == "auto" ? fastest_precision() : parse_precision(spec.precision)),
      texts_hash_(files_hash(spec.evaluation.texts)) {}

PointInputs SweepInputs::of(const SweepPoint& point) {
    std::string& model = models_[point.model];
    if (model.empty()) {
        Session session(point.model);
        Hasher hasher;
        hasher.add(session.content_hash());
        for (const auto& [name, content] : session.source().tokenizer_files()) {
            hasher.add(name);
            hasher.add(content);
        }
        model = hasher.hex();
    }
    std::vector<std::string> read = point.calibration.paths;
    read.insert(read.end(), point.calibration.chats.begin(), point.calibration.chats.end());
    if (point.hessians_from_file()) read = {point.hessians};
    std::string& calibration = files_[read];
    if (calibration.empty()) calibration = files_hash(read);
    return {.model_hash = model,
            .calibration_hash = calibration,
            .texts_hash = texts_hash_,
            .precision = precision()};
}

SweepModel::SweepModel(const std::string& path, const SweepSpec& spec, std::int64_t kept_sums)
    : path_(path), spec_(spec), session_(path, {.kept_sums = kept_sums}) {
    if (spec.evaluation.texts.empty()) return;
    const WeightSource& source = session_.source();
    const auto tokenizer = load_tokenizer(source.tokenizer_files(), path);
    for (const std::string& text : spec.evaluation.texts)
        texts_.push_back(
            eval_text(*tokenizer, read_text(text), text, spec.evaluation.options, source.config()));
}

void SweepModel::use_calibration(const SweepPoint& point, Precision precision,
                                 const Progress& progress) {
    const Json described = to_json(point);
    const std::string wanted =
        point.hessians + described.value("calibration", Json::object()).dump();
    if (wanted == calibration_) return;
    calibration_.clear();
    if (point.hessians_from_file())
        session_.use_hessians(point.hessians);
    else
        session_.use_text(point.calibration, precision,
                          point.hessians == "quantized" ? TextPath::quantized : TextPath::original,
                          progress);
    calibration_ = wanted;
}

void SweepModel::prepare_reference(Precision precision, const Progress& progress) {
    if (!spec_.evaluation.reference || head_ != nullptr) return;
    auto model = std::make_unique<LanguageModel>(session_.source(), precision, ctx(), progress);
    std::vector<Matrix> states;
    for (const EvalText& text : texts_) states.push_back(keep_states(*model, text, progress));
    model->drop_layers();
    states_ = std::move(states);
    head_ = std::move(model);
}

EvalReference SweepModel::reference(std::size_t text) const {
    if (head_ == nullptr) return {};
    return {.model = head_.get(), .states = &states_[text]};
}

}  // namespace vq
