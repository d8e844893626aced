// SPDX-License-Identifier: Apache-2.0
// Calibration windows from text files: contiguous stretches of tokens spread evenly over each file,
// the same number of tokens from each. Nothing is random: the same files give the same windows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "base/progress.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

struct NamedText {
    std::string name;  ///< for errors and notes
    std::string text;
};

struct CalibrationText {
    std::vector<std::vector<TokenId>> windows;
    Index tokens = 0;
    std::string hash;  ///< of the windows' ids: what a store records of its calibration
};

/// About `tokens` tokens in windows of `ctx`, without special tokens. A text that is too short
/// gives what it has (its last window may then be shorter), which is noted through `progress`.
/// Throws Error when there are no texts, when one has no tokens, or when ctx or tokens is below 1.
CalibrationText calibration_windows(const std::vector<NamedText>& texts, const Tokenizer& tokenizer,
                                    Index ctx, Index tokens, const Progress& progress);

}  // namespace vq
