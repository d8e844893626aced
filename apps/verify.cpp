// SPDX-License-Identifier: Apache-2.0
// vq verify: reads every byte of a store and says whether it is sound.
#include <fmt/format.h>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/hdf5/store_verify.h"
#include "vq/tensor/stored_model.h"

namespace vq::apps {
namespace {

Answer run(const std::string& path, const Common& common) {
    VerifyReport report;
    {
        ProgressBar bar(common, "tensors");
        report = verify_store(path, bar.progress());
    }
    // A file may be sound and its tensors still not decode, or not make up a model.
    if (report.problems.empty()) {
        try {
            ProgressBar bar(common, "tensors");
            for (const std::string& line : verify_codes(path, bar.progress()))
                report.problems.push_back({"", line});
            if (report.problems.empty()) open_stored_model(path);
        } catch (const Error& error) {
            report.problems.push_back({"", error.what()});
        }
    }
    Answer answer;
    Json problems = Json::array();
    for (const StoreProblem& problem : report.problems) {
        problems.push_back({{"tensor", problem.tensor}, {"what", problem.what}});
        answer.text +=
            fmt::format("{}: {}\n", problem.tensor.empty() ? path : problem.tensor, problem.what);
    }
    answer.document = {{"store", path},
                       {"ok", report.problems.empty()},
                       {"tensors", report.tensors},
                       {"arrays", report.arrays},
                       {"array_bytes", report.array_bytes},
                       {"file_bytes", report.file_bytes},
                       {"problems", problems}};
    if (report.problems.empty())
        answer.text =
            fmt::format("{}: sound: {} tensors, {} arrays, {}\n", path, report.tensors,
                        report.arrays, format_bytes(static_cast<double>(report.array_bytes)));
    else
        answer.failure = fmt::format(
            "the store is damaged: {}: {} problems, the first: {}; get the "
            "file again or quantize again",
            path, report.problems.size(), report.problems[0].what);
    return answer;
}

}  // namespace

void add_verify(CLI::App& app, Invocation& invocation) {
    auto path = std::make_shared<std::string>();
    CLI::App* command = add_command(app, invocation, "verify",
                                    "checks a store: checksums, shapes, index ranges, completeness",
                                    "vq verify model-2bit.vq.h5", no_random_numbers);
    command->add_option("STORE", *path, "a *.vq.h5 file")->required();
    command->callback([path, &invocation] {
        invocation.run = [path, &invocation] { return run(*path, invocation.common); };
    });
}

}  // namespace vq::apps
