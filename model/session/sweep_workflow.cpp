// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_workflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"

namespace vq {

namespace {

/// As a string of Python; JSON's escapes are Python's.
std::string literal(const std::string& text) {
    return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
}

constexpr double spare_bytes = 300e6;

}  // namespace

std::int64_t point_megabytes(const SweepForecast::Point& point) {
    return std::llround((1.2 * point.peak_bytes + spare_bytes) / 1e6);
}

std::string snakemake_workflow(const std::vector<PointNames>& names, const SweepForecast& forecast,
                               const WorkflowOptions& options) {
    VQ_ASSERT(names.size() == forecast.points.size());
    std::string text =
        "# A sweep as a workflow: snakemake --cores N runs it, and `snakemake --help` says how on "
        "other\n"
        "# machines. Paths are those of the folder in which the workflow was written.\n"
        "# Points by name: index, megabytes, minutes.\n"
        "POINTS = {\n";
    std::set<std::string> seen;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!seen.insert(names[i].point).second) continue;
        const SweepForecast::Point& point = forecast.points[i];
        // Machines differ: three times the estimate of this one.
        const std::int64_t minutes = std::llround(std::ceil(point.seconds * 3 / 60)) + 5;
        text += fmt::format("    {}: ({}, {}, {}),\n", literal(names[i].point), i,
                            point_megabytes(point), minutes);
    }
    text += "}\n";
    text += fmt::format("VQ = {}\nDESCRIPTION = {}\nFOLDER = {}\n", literal(options.program),
                        literal(options.description), literal(options.folder));
    text += R"(
rule all:
    input:
        FOLDER + "/report.html"

rule results:
    input:
        expand(FOLDER + "/points/{id}.json", id=POINTS)
    output:
        FOLDER + "/report.html",
        FOLDER + "/results.csv",
        FOLDER + "/results.json"
    params:
        words=[VQ, "sweep", DESCRIPTION, "-o", FOLDER, "--quiet"]
    shell:
        # A point that failed is a row of the results, and no reason to take them away.
        "{params.words:q} || {{ [ $? -eq 1 ] && test -s {output[0]:q}; }}"

rule point:
    output:
        FOLDER + "/points/{id}.json"
    params:
        words=lambda wildcards: [VQ, "sweep", DESCRIPTION, "-o", FOLDER, "--quiet",
                                 "--point-index", str(POINTS[wildcards.id][0])]
)";
    text += fmt::format("    threads: {}\n", options.threads);
    text += R"(    resources:
        mem_mb=lambda wildcards: POINTS[wildcards.id][1],
        runtime=lambda wildcards: POINTS[wildcards.id][2]
    retries: 2
    shell:
        "{params.words:q} --threads {threads}"
)";
    return text;
}

}  // namespace vq
