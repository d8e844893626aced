// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_results.h"

#include <fmt/format.h>

#include <algorithm>

namespace vq {

namespace {

const std::vector<std::string> store_figures = {"bits_per_weight", "model_bytes", "file_bytes",
                                                "rel_mse", "rel_proxy"};
const std::vector<std::string> text_figures = {"perplexity",
                                               "nll_mean",
                                               "nll_stderr_windows",
                                               "reference_perplexity",
                                               "kld_mean",
                                               "kld_stderr_windows",
                                               "kld_median",
                                               "kld_p90",
                                               "kld_p99",
                                               "kld_p999",
                                               "kld_max",
                                               "top1_agreement",
                                               "top5_agreement",
                                               "flips_gained",
                                               "flips_lost",
                                               "tokens",
                                               "windows",
                                               "ctx"};

std::string quoted(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + "\"";
}

/// A value as a cell: nothing for null and for what is missing.
std::string cell(const Json& object, const std::string& key) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return "";
    if (found->is_string()) return quoted(*found);
    return quoted(found->dump());
}

std::string joined(const Json& list) {
    std::string text;
    for (const Json& item : list) {
        if (!text.empty()) text += ' ';
        text += item.get<std::string>();
    }
    return text;
}

/// Names of all settings that any row has of its own, in the order in which they come.
std::vector<std::string> settings_of(const std::vector<Json>& rows) {
    std::vector<std::string> names;
    for (const Json& row : rows)
        for (const auto& [name, value] : row["set"].items())
            if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    return names;
}

class Table {
public:
    explicit Table(const std::vector<Json>& rows) : settings_(settings_of(rows)) {
        line_ = "point,model,method,bits,seed,hessians,calibration,calibration_tokens";
        for (const std::string& name : settings_) add(quoted("set." + name));
        add("text");
        for (const std::string& name : store_figures) add(name);
        for (const std::string& name : text_figures) add(name);
        add("error");
        for (const std::string& name : varying_columns()) add(name);
        end();
    }
    void row(const Json& row, const Json& text) {
        line_ = cell(row, "point");
        for (const char* key : {"model", "method", "bits", "seed", "hessians"}) add(cell(row, key));
        const Json calibration = row.value("calibration", Json::object());
        Json files = calibration.value("text", Json::array());
        for (const Json& chat : calibration.value("chat", Json::array())) files.push_back(chat);
        add(quoted(joined(files)));
        add(cell(calibration, "tokens"));
        for (const std::string& name : settings_) add(cell(row["set"], name));
        add(cell(text, "text"));
        for (const std::string& name : store_figures) add(cell(row, name));
        for (const std::string& name : text_figures) add(cell(text, name));
        add(cell(row, "error"));
        add(cell(row, "quantize_seconds"));
        add(cell(text, "seconds"));
        add(cell(row, "peak_rss_bytes"));
        end();
    }
    std::string take() { return std::move(text_); }

private:
    void add(const std::string& value) { line_ += "," + value; }
    void end() { text_ += line_ + "\n"; }

    std::vector<std::string> settings_;
    std::string line_;
    std::string text_;
};

}  // namespace

const std::vector<std::string>& varying_columns() {
    static const std::vector<std::string> columns = {"quantize_seconds", "eval_seconds",
                                                     "peak_rss_bytes"};
    return columns;
}

std::string results_csv(const std::vector<Json>& rows) {
    Table table(rows);
    for (const Json& row : rows) {
        const Json texts = row.value("texts", Json::array());
        for (const Json& text : texts) table.row(row, text);
        if (texts.empty()) table.row(row, Json::object());
    }
    return table.take();
}

}  // namespace vq
