// SPDX-License-Identifier: Apache-2.0
// What points of a sweep share: hashes of what they read, and, of one model, its session, the
// evaluation texts in its tokens and its own run on them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/evaluate.h"
#include "model/session/session.h"
#include "model/session/sweep_point.h"

namespace vq {

/// Hashes, each file read once.
class SweepInputs {
public:
    /// Throws Error when an evaluation text cannot be read.
    explicit SweepInputs(const SweepSpec& spec);
    PointInputs of(const SweepPoint& point);
    /// What the description's precision is on this machine.
    Precision parsed_precision() const { return precision_; }
    std::string precision() const { return precision_name(precision_); }

private:
    Precision precision_;
    std::string texts_hash_;
    std::map<std::string, std::string> models_;
    std::map<std::vector<std::string>, std::string> files_;
};

class SweepModel {
public:
    SweepModel(const std::string& path, const SweepSpec& spec, std::int64_t kept_sums);

    const std::string& path() const { return path_; }
    Session& session() { return session_; }
    const Session& session() const { return session_; }
    /// Points the session at what weighs this point's errors, unless it is there already.
    void use_calibration(const SweepPoint& point, Precision precision, const Progress& progress);

    /// Tokens a window of the texts.
    Index ctx() const { return texts_.front().ctx; }
    const EvalText& text(std::size_t i) const { return texts_[i]; }
    /// Runs the model on the texts, the first time; of it only the head stays.
    void prepare_reference(Precision precision, const Progress& progress);
    EvalReference reference(std::size_t text) const;

private:
    std::string path_;
    const SweepSpec& spec_;
    Session session_;
    std::string calibration_;  ///< what the session was pointed at last
    std::vector<EvalText> texts_;
    std::unique_ptr<LanguageModel> head_;
    std::vector<Matrix> states_;
};

}  // namespace vq
