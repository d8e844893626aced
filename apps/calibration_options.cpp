// SPDX-License-Identifier: Apache-2.0
#include "apps/calibration_options.h"

namespace vq::apps {

std::vector<std::string> calibration_inputs(const CalibrationArguments& options) {
    std::vector<std::string> inputs = options.files.paths;
    inputs.insert(inputs.end(), options.files.chats.begin(), options.files.chats.end());
    return inputs;
}

bool has_calibration(const CalibrationArguments& options) {
    return !calibration_inputs(options).empty();
}

void add_calibration(CLI::App& command, CalibrationArguments& options) {
    command
        .add_option("--calib", options.files.paths,
                    "calibration text; several files contribute the same number of tokens each")
        ->type_name("FILE");
    command
        .add_option(
            "--calib-chat", options.files.chats,
            "conversations to calibrate with, a JSON object {\"messages\": [...]} a line, in "
            "the turns of the model's own chat template")
        ->type_name("FILE.jsonl");
    command.add_option("--calib-tokens", options.files.tokens, "tokens of calibration text")
        ->check(CLI::Range(1, 1 << 30))
        ->capture_default_str()
        ->type_name("N");
    command
        .add_option("--ctx", options.files.ctx,
                    "tokens a window of calibration text (default: 2048, or the model's maximum if "
                    "that is less)")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");
    add_precision(command, options.precision);
}

}  // namespace vq::apps
