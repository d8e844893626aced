// SPDX-License-Identifier: Apache-2.0
// Every template of data/golden.json comes out as the Python package jinja2 renders it (see
// make_golden.py beside), and what Python refuses is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/files/text_input.h"
#include "io/jinja/render.h"
#include "io/tokenizers/chat_template.h"

namespace vq {
namespace {

using ::testing::HasSubstr;

jinja::Dict variables_of(const Json& json) {
    jinja::Dict out;
    for (const auto& [name, value] : json.items())
        out.emplace_back(name, jinja::Value::from_json(value));
    return out;
}

TEST(Jinja, RendersWhatPythonRenders) {
    const Json golden =
        Json::parse(read_text(std::string(VQKIT_TEST_DATA) + "/jinja/data/golden.json"));
    int rendered = 0;
    int refused = 0;
    for (const Json& one : golden["cases"]) {
        const auto source = one["template"].get<std::string>();
        SCOPED_TRACE(source);
        const jinja::Dict variables = variables_of(golden[one["variables"].get<std::string>()]);
        if (one["text"].is_null()) {
            EXPECT_THROW(jinja::Template(source).render(variables), Error);
            ++refused;
            continue;
        }
        try {
            EXPECT_EQ(jinja::Template(source).render(variables), one["text"].get<std::string>());
        } catch (const Error& error) {
            ADD_FAILURE() << error.what();
        }
        ++rendered;
    }
    EXPECT_GT(rendered, 200);
    EXPECT_GT(refused, 20);
}

std::string error_of(const std::string& source) {
    try {
        jinja::Template(source).render({});
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Jinja, WhatIsNotKnownIsNamed) {
    EXPECT_THAT(error_of("{{ 1 | frobnicate }}"), HasSubstr("\"frobnicate\""));
    EXPECT_THAT(error_of("{{ 1 is frobnicated }}"), HasSubstr("\"frobnicated\""));
    EXPECT_THAT(error_of("{{ frobnicate(1) }}"), HasSubstr("\"frobnicate\""));
    EXPECT_THAT(error_of("a\n{% include 'x' %}"), HasSubstr("line 2: the statement \"include\""));
    EXPECT_THAT(error_of("{{ raise_exception('say please') }}"), HasSubstr("say please"));
    EXPECT_THAT(error_of("{{ '\xc3\xa4' | upper }}"), HasSubstr("beyond ASCII"));
}

TEST(Jinja, TemplatesCannotRunForEverOrOverflowTheStack) {
    EXPECT_THAT(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("deeply"));
    EXPECT_THAT(error_of("{{ " + std::string(400, '(') + "1" + std::string(400, ')') + " }}"),
                HasSubstr("deeply"));
    EXPECT_THAT(error_of("{% for a in range(100000) %}{% for b in range(100000) %}{% if a %}{% "
                         "endif %}{% endfor %}{% endfor %}"),
                HasSubstr("without end"));
    EXPECT_THAT(error_of("{{ range(99999999) | length }}"), HasSubstr("too long"));
    EXPECT_THAT(error_of("{{ 'a' * 999999999 }}"), HasSubstr("too long"));
    EXPECT_THAT(error_of("{{ '0123456789abcdef' * 1152921504606846976 }}"), HasSubstr("too long"));
    EXPECT_EQ(error_of("{{ '' * 999999999999999999 }}{{ (-1) ** 999999999999999999 }}"),
              "no error");
    EXPECT_THAT(error_of("{% set l = [1] %}{% for i in range(60) %}{% set l = l + l %}{% set ns = "
                         "l %}{% endfor %}{% macro m(l) %}{{ m(l + l) }}{% endmacro %}{{ m(l) }}"),
                HasSubstr("too long"));
    // Chains without brackets, and values without end.
    std::string sum = "{{ 1";
    for (int i = 0; i < 100000; ++i) sum += "+1";
    EXPECT_THAT(error_of(sum + " }}"), HasSubstr("too many words"));
    EXPECT_THAT(error_of("{% set n = namespace() %}{% set n.a = n %}{{ n }}"),
                HasSubstr("namespace in a namespace"));
    EXPECT_THAT(error_of("{% set n = namespace() %}{% set n.a = [{'b': n}] %}{{ n | tojson }}"),
                HasSubstr("namespace in a namespace"));
    EXPECT_THAT(error_of("{% set n = namespace(x=1) %}{% for i in range(1000) %}{% set n.x = [n.x] "
                         "%}{% endfor %}"),
                HasSubstr("too deeply"));
    EXPECT_THAT(error_of("{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}"),
                HasSubstr("deeply"));
}

TEST(Jinja, ARefusalLeavesNothingBehind) {
    for (int i = 0; i < 500; ++i)
        EXPECT_THAT(error_of("{{ " + std::string(300, '(') + "1" + std::string(300, ')') + " }}"),
                    HasSubstr("deeply"));
    EXPECT_EQ(jinja::Template("{{ (1) }}").render({}), "1");
}

TEST(Jinja, TimeIsThatOfTheCaller) {
    const std::time_t noon = 86400 * 200 + 43200;
    EXPECT_EQ(jinja::Template("{{ strftime_now('%Y-%m') }}").render({}, noon), "1970-07");
}

TEST(ChatTemplate, TakesTheFilesAndTheirTokens) {
    const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
    TokenizerFiles files;
    files["tokenizer_config.json"] =
        R"({"chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ tools is none }}",
            "bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>"})";
    EXPECT_EQ(ChatTemplate(files, "m").render(messages, true), "<b>Hi<e>True");
    files["chat_template.jinja"] = "file {{ add_generation_prompt }}";
    EXPECT_EQ(ChatTemplate(files, "m").render(messages, false), "file False");
    files.erase("chat_template.jinja");
    files["tokenizer_config.json"] =
        R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]})";
    EXPECT_EQ(ChatTemplate(files, "m").render(messages, true), "d");
    files["tokenizer_config.json"] = "{}";
    try {
        const ChatTemplate none(files, "some/model");
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("some/model"));
    }
}

}  // namespace
}  // namespace vq
