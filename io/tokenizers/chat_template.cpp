// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/chat_template.h"

#include <array>

#include "base/error.h"
#include "io/jinja/render.h"
#include "io/tokenizers/folder_tokens.h"
#include "io/tokenizers/tokenizer_json_fields.h"

namespace vq {
namespace {

using nlohmann::json;

/// The template's text; of several with names the default one.
std::string source(const TokenizerFiles& files, const json& config, const std::string& where) {
    const auto file = files.find("chat_template.jinja");
    if (file != files.end()) return file->second;
    const auto found = config.find("chat_template");
    if (found != config.end() && found->is_string()) return found->get<std::string>();
    if (found != config.end() && found->is_array())
        for (const json& entry : *found)
            if (json_string(entry, "name", where) == "default")
                return json_string(entry, "template", where);
    throw Error("the model has no chat template", where,
                "it is no chat model: give a prompt without --chat");
}

/// The special tokens that the configuration names: as text, or as an object with its content.
void add_tokens(const json& config, jinja::Dict& variables) {
    static constexpr std::array<const char*, 7> names = {
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
    for (const char* name : names) {
        const auto found = config.find(name);
        if (found == config.end() || jinja::find_key(variables, name) != nullptr) continue;
        const bool object = found->is_object() && found->contains("content");
        const json& text = object ? (*found)["content"] : *found;
        if (text.is_string())
            variables.emplace_back(name, jinja::Value::text(text.get<std::string>()));
    }
}

}  // namespace

struct ChatTemplate::Impl {
    jinja::Template compiled;
    jinja::Dict tokens;
};

ChatTemplate::ChatTemplate(const TokenizerFiles& files, const std::string& where) {
    const json config = folder_json(files, "tokenizer_config.json", where);
    impl_ = std::make_unique<Impl>(Impl{jinja::Template(source(files, config, where)), {}});
    add_tokens(config, impl_->tokens);
    add_tokens(folder_json(files, "special_tokens_map.json", where), impl_->tokens);
}

ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(const Json& messages, bool answer, std::time_t now) const {
    jinja::Dict variables = impl_->tokens;
    variables.emplace_back("messages", jinja::Value::from_json(messages));
    variables.emplace_back("tools", jinja::Value::none());
    variables.emplace_back("documents", jinja::Value::none());
    variables.emplace_back("add_generation_prompt", jinja::Value::boolean(answer));
    return impl_->compiled.render(variables, now);
}

}  // namespace vq
