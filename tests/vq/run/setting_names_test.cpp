// SPDX-License-Identifier: Apache-2.0
// Messages and help texts advise settings by name: every one of them must exist.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "vq/layer/settings.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

namespace fs = std::filesystem;

/// The string literals of a source, neighbours joined as the compiler joins them; comments and
/// preprocessor lines left out.
std::string literals_of(const std::string& source) {
    static const std::regex pieces(R"re("((?:[^"\\\n]|\\.)*)"|//[^\n]*|(?:^|\n)[ \t]*#[^\n]*)re");
    std::string text;
    std::size_t last_end = 0;
    for (std::sregex_iterator it(source.begin(), source.end(), pieces), end; it != end; ++it) {
        if (!(*it)[1].matched) continue;
        const auto begin = static_cast<std::size_t>(it->position());
        const std::string between = source.substr(last_end, begin - last_end);
        if (between.find_first_not_of(" \t\n") != std::string::npos) text += '\n';
        text += (*it)[1].str();
        last_end = begin + static_cast<std::size_t>(it->length());
    }
    return text;
}

/// "part.key" words that could be meant as settings: not names of files, tensors or blocks.
std::set<std::string> setting_words(const std::string& literals) {
    static const std::regex words(R"((^|[^\w./-])([a-z_]+)\.([a-z_]+)(?![\w./-]))");
    static const std::set<std::string> other_ends = {
        "json", "txt", "safetensors", "model", "weight", "bias", "jinja",
        "yaml", "tsv", "lock",        "html",  "csv",    "js",   "css"};
    static const std::set<std::string> other_parts = {"part", "self_attn", "mlp",
                                                      "params"};  // of Snakemake
    std::set<std::string> found;
    for (std::sregex_iterator it(literals.begin(), literals.end(), words), end; it != end; ++it)
        if (!other_ends.contains((*it)[3]) && !other_parts.contains((*it)[2]))
            found.insert((*it)[2].str() + "." + (*it)[3].str());
    return found;
}

TEST(SettingNames, WordsAreFoundInLiteralsAlone) {
    const std::string source =
        "#include \"vq/run.settings.h\"\n"
        "// objective.comment\n"
        "fail(\"raise hessian.damping\", \"see config.json or --set code.\"\n"
        "     \"dim=8\", where.text, \"mlp.down_proj\", \"a.b.c\");";
    EXPECT_THAT(setting_words(literals_of(source)),
                testing::UnorderedElementsAre("hessian.damping", "code.dim"));
}

TEST(SettingNames, EveryNameInAMessageExists) {
    std::set<std::string> known;
    for (const SettingInfo& setting : describe_settings(preset_settings("best")))
        known.insert(setting.name);
    const fs::path root = fs::path(VQKIT_MODELS).parent_path();
    std::size_t sources = 0;
    std::set<std::string> named;
    for (const char* folder : {"apps", "base", "codebooks", "lattice", "model", "vq"})
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
            ++sources;
            std::ifstream file(entry.path());
            const std::string source{std::istreambuf_iterator<char>(file), {}};
            for (const std::string& word : setting_words(literals_of(source))) {
                EXPECT_TRUE(known.contains(word)) << entry.path() << " names " << word;
                named.insert(word);
            }
        }
    EXPECT_GT(sources, 100U);
    EXPECT_TRUE(named.contains("objective.damping"));
}

}  // namespace
}  // namespace vq
