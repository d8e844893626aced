// SPDX-License-Identifier: Apache-2.0
#include "model/session/calibration_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "io/files/text_input.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

Index calibration_ctx(const CalibrationFiles& files, const ModelConfig& config,
                      const std::string& model) {
    const std::int64_t longest = config.max_position;
    if (longest > 0 && files.ctx > longest)
        throw Error("the window is longer than the model can take",
                    fmt::format("--ctx {}", files.ctx),
                    fmt::format("{} takes at most {}", model, longest));
    if (files.ctx > 0) return files.ctx;
    return longest > 0 ? std::min<Index>(2048, longest) : 2048;
}

CalibrationText load_calibration(const CalibrationFiles& files, const WeightSource& source,
                                 const std::string& model, const Progress& progress) {
    std::vector<NamedText> texts;
    for (const std::string& path : files.paths) texts.push_back({path, read_text(path)});
    for (const std::string& path : files.chats) texts.push_back({path, read_text(path), true});
    const Index ctx = calibration_ctx(files, source.config(), model);
    const auto tokenizer = load_tokenizer(source.tokenizer_files(), model);
    std::optional<ChatTemplate> chat;
    if (!files.chats.empty()) chat.emplace(source.tokenizer_files(), model);
    return calibration_windows(texts, *tokenizer, ctx, files.tokens, progress,
                               chat ? &*chat : nullptr);
}

}  // namespace vq
