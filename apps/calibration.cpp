// SPDX-License-Identifier: Apache-2.0
#include "apps/calibration.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/tokenizers/tokenizer.h"

namespace vq::apps {

void add_calibration(CLI::App& command, Calibration& calibration, bool required) {
    command
        .add_option("--calib", calibration.files,
                    "calibration text; several files contribute the same number of tokens each")
        ->required(required)
        ->type_name("FILE");
    command.add_option("--calib-tokens", calibration.tokens, "tokens of calibration text")
        ->check(CLI::Range(1, 1 << 30))
        ->capture_default_str()
        ->type_name("N");
    command
        .add_option("--ctx", calibration.ctx,
                    "tokens a window of calibration text (default: 2048, or the model's maximum if "
                    "that is less)")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");
    add_precision(command, calibration.precision);
}

CalibrationText load_calibration(const Calibration& calibration, const WeightSource& source,
                                 const std::string& model, const Progress& progress) {
    std::vector<NamedText> texts;
    for (const std::string& path : calibration.files) texts.push_back({path, read_text(path)});
    const std::int64_t longest = source.config().max_position;
    if (longest > 0 && calibration.ctx > longest)
        throw Error("the window is longer than the model can take",
                    fmt::format("--ctx {}", calibration.ctx),
                    fmt::format("{} takes at most {}", model, longest));
    Index ctx = calibration.ctx;
    if (ctx == 0) ctx = longest > 0 ? std::min<Index>(2048, longest) : 2048;
    const auto tokenizer = load_tokenizer(source.tokenizer_files(), model);
    return calibration_windows(texts, *tokenizer, ctx, calibration.tokens, progress);
}

}  // namespace vq::apps
