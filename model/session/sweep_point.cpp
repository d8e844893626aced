// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_point.h"

#include <fmt/format.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "io/files/mapped_file.h"

namespace vq {

namespace {

using Words = std::vector<std::string>;

/// The words of `vq quantize` but for the output, in the order of its own provenance.
Words quantize_words(const SweepPoint& point, const std::string& precision) {
    Words words = {"vq", "quantize", point.model, "--method", point.method};
    const auto add = [&](const char* option, const std::string& value) {
        words.emplace_back(option);
        words.push_back(value);
    };
    if (point.bits) add("--bits", fmt::format("{}", *point.bits));
    if (!point.hessians_from_file()) {
        for (const std::string& file : point.calibration.paths) add("--calib", file);
        for (const std::string& file : point.calibration.chats) add("--calib-chat", file);
        add("--calib-tokens", fmt::format("{}", point.calibration.tokens));
        if (point.calibration.ctx > 0) add("--ctx", fmt::format("{}", point.calibration.ctx));
        add("--precision", precision);
    }
    add("--hessians", point.hessians);
    for (const std::string& assignment : point.assignments()) add("--set", assignment);
    add("--seed", fmt::format("{}", point.seed));
    return words;
}

bool needs_quotes(const std::string& word) {
    constexpr const char* plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=,:+@%-";
    return word.empty() || word.find_first_not_of(plain) != std::string::npos;
}

std::string shell_line(const Words& words) {
    std::string line;
    for (const std::string& word : words) {
        if (!line.empty()) line += ' ';
        if (!needs_quotes(word)) {
            line += word;
            continue;
        }
        line += '\'';
        for (const char c : word) {
            if (c == '\'')
                line += "'\\''";
            else
                line += c;
        }
        line += '\'';
    }
    return line;
}

/// The first 16 digits tell a few thousand points apart; names stay readable.
std::string short_hash(const Json& content) {
    return hash_hex(content.dump()).substr(0, 16);
}

}  // namespace

PointNames point_names(const SweepPoint& point, const SweepEvaluation& evaluation,
                       const PointInputs& inputs) {
    Json content = {{"vqkit", VQKIT_VERSION},
                    {"model", inputs.model_hash},
                    {"calibration", inputs.calibration_hash},
                    {"precision", inputs.precision},
                    {"instruction_set", isa_name(active_isa())},
                    {"method", point.method},
                    {"bits", point.bits ? Json(*point.bits) : Json(nullptr)},
                    {"seed", point.seed},
                    {"set", point.assignments()}};
    if (!point.hessians_from_file()) {
        content["hessians"] = point.hessians;
        content["texts"] = {point.calibration.paths.size(), point.calibration.chats.size()};
        content["tokens"] = point.calibration.tokens;
        content["ctx"] = point.calibration.ctx;
    }
    PointNames names;
    names.store = short_hash(content);
    names.point = short_hash({{"store", names.store},
                              {"texts", inputs.texts_hash},
                              {"ctx", evaluation.options.ctx},
                              {"max_tokens", evaluation.options.max_tokens},
                              {"protocol", static_cast<int>(evaluation.options.protocol)},
                              {"reference", evaluation.reference}});
    return names;
}

std::string files_hash(const std::vector<std::string>& paths) {
    Hasher hasher;
    for (const std::string& path : paths) {
        const MappedFile file(path);
        hasher.add(std::string_view(reinterpret_cast<const char*>(file.bytes().data()),
                                    file.bytes().size()));
    }
    return hasher.hex();
}

std::string quantize_provenance(const SweepPoint& point, const std::string& precision) {
    return fmt::format("{}", fmt::join(quantize_words(point, precision), " "));
}

std::string quantize_command(const SweepPoint& point, const std::string& precision,
                             const std::string& store) {
    Words words = quantize_words(point, precision);
    words.insert(words.begin() + 3, {"-o", store});
    return shell_line(words);
}

std::string eval_command(const SweepPoint& point, const SweepEvaluation& evaluation,
                         const std::string& precision, const std::string& store,
                         const std::string& text) {
    Words words = {"vq", "eval", store, "--text", text};
    const auto add = [&](const char* option, const std::string& value) {
        words.emplace_back(option);
        words.push_back(value);
    };
    if (evaluation.reference) add("--ref", point.model);
    if (evaluation.options.ctx > 0) add("--ctx", fmt::format("{}", evaluation.options.ctx));
    if (evaluation.options.max_tokens > 0)
        add("--max-tokens", fmt::format("{}", evaluation.options.max_tokens));
    if (evaluation.options.protocol == EvalProtocol::llamacpp) add("--protocol", "llamacpp");
    add("--precision", precision);
    return shell_line(words);
}

}  // namespace vq
