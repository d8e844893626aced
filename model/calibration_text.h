// SPDX-License-Identifier: Apache-2.0
// Calibration windows from files, the same number of tokens from each: of a text contiguous
// stretches spread evenly over it, of chats whole conversations, spread evenly too. Nothing is
// random: the same files give the same windows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "base/progress.h"
#include "io/tokenizers/chat_template.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

struct NamedText {
    std::string name;  ///< for errors and notes
    std::string text;
    /// The text is JSON Lines, a conversation each: {"messages": [{"role": ..., "content": ...}]}.
    bool chat = false;
};

struct CalibrationText {
    std::vector<std::vector<TokenId>> windows;
    Index tokens = 0;
    std::string hash;  ///< of the windows' ids: what a store records of its calibration
};

/// About `tokens` tokens in windows of `ctx`, without special tokens. A text that is too short
/// gives what it has (its last window may then be shorter), which is noted through `progress`.
/// A conversation is rendered by `chat` (null where there are none) and begins a window of its own,
/// which is cut at `ctx`. Throws Error when there are no texts, when one has no tokens or a line
/// that is no conversation, or when ctx or tokens is below 1.
CalibrationText calibration_windows(const std::vector<NamedText>& texts, const Tokenizer& tokenizer,
                                    Index ctx, Index tokens, const Progress& progress,
                                    const ChatTemplate* chat = nullptr);

}  // namespace vq
