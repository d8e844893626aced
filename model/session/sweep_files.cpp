// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_files.h"

#include <algorithm>
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

/// Whether what is read of a row later on is there.
bool is_row(const Json& row) {
    if (!row.is_object() || row.contains("error")) return false;
    const auto is = [](const Json& object, const char* key, auto&& kind) {
        const auto found = object.find(key);
        return found != object.end() && kind(*found);
    };
    const auto number = [](const Json& value) { return value.is_number(); };
    const auto maybe = [](const Json& value) { return value.is_number() || value.is_null(); };
    const auto text = [](const Json& value) { return value.is_string(); };
    for (const char* key : {"point", "model", "method"})
        if (!is(row, key, text)) return false;
    for (const char* key : {"seed", "bits_per_weight", "file_bytes"})
        if (!is(row, key, number)) return false;
    for (const char* key : {"bits", "quantize_seconds"})
        if (!is(row, key, maybe)) return false;
    if (!is(row, "set", [&](const Json& set) {
            return set.is_object() && std::all_of(set.begin(), set.end(), text);
        }))
        return false;
    return is(row, "texts", [&](const Json& texts) {
        return texts.is_array() && std::all_of(texts.begin(), texts.end(), [&](const Json& t) {
                   if (!t.is_object() || !is(t, "perplexity", number)) return false;
                   return !t.contains("kld_mean") ||
                          (is(t, "kld_mean", number) && is(t, "kld_stderr_windows", number));
               });
    });
}

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
    // A file that somebody has damaged is made again.
    try {
        Json row = Json::parse(read_text_file(path, longest_row), nullptr, false);
        if (is_row(row) && row["point"] == names.point) return row;
    } catch (const Error&) {  // not a file, or too long for one of ours
    }
    return std::nullopt;
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
