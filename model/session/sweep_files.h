// SPDX-License-Identifier: Apache-2.0
// Where a sweep keeps what: names of files in its folder, and the rows that earlier runs left there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/session/sweep_point.h"

namespace vq {

class SweepFiles {
public:
    explicit SweepFiles(std::string folder) : folder_(std::move(folder)) {}
    /// stores/ and points/.
    void make_folders() const;

    std::string store(const PointNames& names) const;
    std::string point(const PointNames& names) const;
    /// The row of a point that is done; none when it is not, or its file is no such row.
    std::optional<Json> done_row(const PointNames& names) const;
    void write_row(const PointNames& names, const Json& row) const;
    /// Removes the store and what is finished of it.
    void remove_store(const PointNames& names) const;

    /// results.csv, results.json and report.html; `head` is what the document holds before the points.
    void write_results(const Json& head, const std::vector<Json>& rows) const;

private:
    std::string folder_;
};

}  // namespace vq
