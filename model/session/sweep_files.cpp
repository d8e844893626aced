// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_files.h"

#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "io/files/atomic_file.h"
#include "io/files/mapped_file.h"
#include "io/files/output_file.h"
#include "model/session/pages/page.h"
#include "model/session/sweep_results.h"

namespace vq {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t longest_row = std::int64_t{1} << 24;

}  // namespace

void SweepFiles::make_folders() const {
    for (const char* name : {"stores", "points"}) {
        const fs::path path = fs::path(folder_) / name;
        std::error_code error;
        fs::create_directory(path, error);
        if (error) throw system_error("make", path.string(), error.value());
    }
}

std::string SweepFiles::store(const PointNames& names) const {
    return (fs::path(folder_) / "stores" / (names.store + ".vq.h5")).string();
}

std::string SweepFiles::point(const PointNames& names) const {
    return (fs::path(folder_) / "points" / (names.point + ".json")).string();
}

std::optional<Json> SweepFiles::done_row(const PointNames& names) const {
    const std::string path = point(names);
    if (!fs::exists(path)) return std::nullopt;
    Json row = Json::parse(read_text_file(path, longest_row), nullptr, false);
    // A file that somebody has damaged is made again.
    if (!row.is_object() || row.value("point", Json()) != names.point || !row.contains("set") ||
        !row["set"].is_object() || row.contains("error"))
        return std::nullopt;
    return row;
}

void SweepFiles::write_row(const PointNames& names, const Json& row) const {
    write_text_file(point(names), row.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void SweepFiles::remove_store(const PointNames& names) const {
    std::error_code ignored;
    fs::remove(store(names), ignored);
    fs::remove_all(store(names) + ".parts", ignored);
}

void SweepFiles::write_results(const Json& head, const std::vector<Json>& rows) const {
    Json document = head;
    document["points"] = rows;
    write_text_file((fs::path(folder_) / "results.json").string(),
                    document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    write_text_file((fs::path(folder_) / "results.csv").string(), results_csv(rows));
    write_text_file((fs::path(folder_) / "report.html").string(), sweep_page(document));
}

}  // namespace vq
