// SPDX-License-Identifier: Apache-2.0
// The text that a chat model reads for a conversation: its template (chat_template.jinja, or
// chat_template of tokenizer_config.json), rendered as transformers renders it.
#pragma once

#include <ctime>
#include <memory>
#include <string>

#include "base/json.h"
#include "io/tokenizers/tokenizer_files.h"

namespace vq {

class ChatTemplate {
public:
    /// `where` names the checkpoint in errors. Throws Error when the files have no template, or one
    /// that is not well formed or uses what is not known.
    ChatTemplate(const TokenizerFiles& files, const std::string& where);
    ~ChatTemplate();
    ChatTemplate(const ChatTemplate&) = delete;
    ChatTemplate& operator=(const ChatTemplate&) = delete;

    /// `messages`: [{"role": ..., "content": ...}, ...]. `answer`: ends with what stands before the
    /// model's answer. The result holds the special tokens as text: it is to be tokenized without
    /// adding any. Throws Error when the template refuses the messages.
    std::string render(const Json& messages, bool answer,
                       std::time_t now = std::time(nullptr)) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace vq
