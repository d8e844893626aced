// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/gguf_pre_tokenizers.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace vq {
namespace {

// Patterns by the model that they come from; others took them over.
constexpr const char* llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* seed =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* tekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* gpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* bailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* digit_groups = R"(\d{1,3}(?=(?:\d{3})*\b))";
constexpr const char* three_digits = R"(\p{N}{1,3})";
constexpr const char* cjk = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
constexpr const char* deepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// One name. Texts are cut by the patterns in turn; without any, as GPT-2 cuts them.
struct Row {
    std::string_view name;
    std::array<const char*, 3> patterns{};
    bool single_digits = false;  ///< a Digits step goes first
    bool nfc = false;
    bool ignore_merges = false;
    bool add_bos = false;
};

constexpr std::array rows{
    Row{.name = "gpt-2"},
    Row{.name = "phi-2"},
    Row{.name = "exaone4"},
    Row{.name = "granite-docling"},
    Row{.name = "olmo", .nfc = true},
    Row{.name = "smollm", .single_digits = true},
    Row{.name = "starcoder", .single_digits = true},
    Row{.name = "refact", .single_digits = true},
    Row{.name = "codeshell", .single_digits = true},
    Row{.name = "exaone", .single_digits = true},
    Row{.name = "command-r", .single_digits = true, .nfc = true},
    Row{.name = "llama-bpe", .patterns = {llama3}, .ignore_merges = true, .add_bos = true},
    Row{.name = "llama3", .patterns = {llama3}, .ignore_merges = true, .add_bos = true},
    Row{.name = "llama-v3", .patterns = {llama3}, .ignore_merges = true, .add_bos = true},
    Row{.name = "falcon3", .patterns = {llama3}, .ignore_merges = true, .add_bos = true},
    Row{.name = "lfm2", .patterns = {llama3}, .ignore_merges = true, .add_bos = true},
    Row{.name = "dbrx", .patterns = {llama3}},
    Row{.name = "smaug-bpe", .patterns = {llama3}},
    Row{.name = "glm4", .patterns = {llama3}},
    Row{.name = "chatglm-bpe", .patterns = {llama3}},
    Row{.name = "qwen2", .patterns = {qwen2}, .nfc = true},
    Row{.name = "deepseek-r1-qwen", .patterns = {qwen2}, .nfc = true},
    Row{.name = "megrez", .patterns = {qwen2}, .nfc = true},
    Row{.name = "hunyuan", .patterns = {qwen2}},
    Row{.name = "qwen35", .patterns = {qwen35}, .nfc = true},
    Row{.name = "seed-coder", .patterns = {seed}},
    Row{.name = "tekken", .patterns = {tekken}, .ignore_merges = true, .add_bos = true},
    Row{.name = "gpt-4o", .patterns = {gpt4o}},
    Row{.name = "llama4", .patterns = {gpt4o}},
    Row{.name = "kanana2", .patterns = {gpt4o}},
    Row{.name = "minimax-m2", .patterns = {gpt4o}},
    Row{.name = "tiny_aya", .patterns = {digit_groups, gpt4o}},
    Row{.name = "cohere2moe", .patterns = {digit_groups, gpt4o}},
    Row{.name = "bailingmoe", .patterns = {bailing}},
    Row{.name = "bailingmoe2", .patterns = {bailing}},
    Row{.name = "deepseek-v3", .patterns = {three_digits, cjk, deepseek3}},
    Row{.name = "hunyuan-dense", .patterns = {three_digits, cjk, deepseek3}},
};

const Row* find_row(std::string_view name) {
    const auto found = std::ranges::find(rows, name, &Row::name);
    return found == rows.end() ? nullptr : &*found;
}

PreTokenizerSteps steps_of(const Row& row) {
    Json list = Json::array();
    if (row.single_digits) list.push_back({{"type", "Digits"}, {"individual_digits", true}});
    for (const char* pattern : row.patterns)
        if (pattern != nullptr)
            list.push_back({{"type", "Split"},
                            {"pattern", {{"Regex", pattern}}},
                            {"behavior", "Isolated"},
                            {"invert", false}});
    list.push_back(byte_level_step(row.patterns[0] == nullptr));
    PreTokenizerSteps steps;
    if (row.nfc) steps.normalizer = {{"type", "NFC"}};
    steps.pre_tokenizer =
        list.size() == 1 ? list[0] : Json{{"type", "Sequence"}, {"pretokenizers", list}};
    steps.ignore_merges = row.ignore_merges;
    steps.add_bos = row.add_bos;
    return steps;
}

/// What a file without a name is taken for.
const Row& guessed_row(const GgufFile& file, const std::string& said,
                       std::vector<std::string>& notes) {
    const auto tokens = file.get_strings("tokenizer.ggml.tokens");
    const bool is_llama3 = tokens &&
                           std::ranges::find(*tokens, "<|begin_of_text|>") != tokens->end() &&
                           std::ranges::find(*tokens, "<|eot_id|>") != tokens->end();
    notes.push_back(
        file.path() + ": tokenizer.ggml.pre " + said +
        ", so how the model splits text is not known: " +
        (is_llama3 ? "its vocabulary is that of Llama 3, which is assumed"
                   : "GPT-2's way is assumed, and the model is worse with any other: convert it "
                     "again, or use its safetensors folder"));
    return *find_row(is_llama3 ? "llama-bpe" : "gpt-2");
}

}  // namespace

Json byte_level_step(bool use_regex) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", use_regex}};
}

PreTokenizerSteps gguf_pre_tokenizer(const GgufFile& file, std::vector<std::string>& notes) {
    const auto name = file.get_string("tokenizer.ggml.pre");
    if (!name || name->empty()) return steps_of(guessed_row(file, "is missing", notes));
    if (*name == "default") return steps_of(guessed_row(file, "is \"default\"", notes));
    if (const Row* row = find_row(*name)) return steps_of(*row);
    std::string known;
    for (const Row& row : rows) known += (known.empty() ? "" : ", ") + std::string(row.name);
    throw Error("pre-tokenizer \"" + name->substr(0, 60) + "\" is not supported",
                file.path() + ": tokenizer.ggml.pre",
                "use the model's safetensors folder; supported are " + known);
}

}  // namespace vq
