// SPDX-License-Identifier: Apache-2.0
// Makes points of a sweep, one after the other, keeping what the next one can use.
#pragma once

#include <memory>
#include <string>

#include "model/session/sweep_files.h"
#include "model/session/sweep_model.h"

namespace vq {

class SweepWorker {
public:
    /// Throws Error when an evaluation text cannot be read.
    SweepWorker(const SweepSpec& spec, const std::string& folder, std::int64_t kept_sums);

    const SweepFiles& files() const { return files_; }
    std::string precision() const { return inputs_.precision(); }
    /// Throws Error when something that the point reads cannot be read.
    PointNames names(const SweepPoint& point) {
        return point_names(point, spec_.evaluation, inputs_.of(point));
    }
    /// The row of a point, whatever becomes of it; one that was made is in its file too. Throws only
    /// Cancelled. What is finished of a point that failed or was stopped stays for the next try.
    Json attempt(const SweepPoint& point, const PointNames& names, const Progress& progress);
    /// The row of a point that failed.
    static Json failed_row(const SweepPoint& point, const PointNames& names,
                           const std::string& fault);

private:
    Json make(const SweepPoint& point, const PointNames& names, const Progress& progress);
    void quantize(const SweepPoint& point, const std::string& store, const Progress& progress);
    Json evaluate_store(const SweepPoint& point, const std::string& store,
                        const Progress& progress);

    const SweepSpec& spec_;
    std::int64_t kept_sums_;
    SweepFiles files_;
    SweepInputs inputs_;
    std::unique_ptr<SweepModel> model_;
};

}  // namespace vq
