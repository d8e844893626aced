// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

[[noreturn]] void reject(const std::string& name, const std::string& value,
                         const std::string& allowed) {
    throw Error("bad value", "--set " + name + "=" + value, "use " + allowed);
}

struct Entry {
    std::string name;
    std::string help;
    std::function<std::string(const Settings&)> get;
    std::function<void(Settings&, const std::string&)> set;
    /// The value that settings_json() leaves out, for settings that are younger than the stores
    /// whose fingerprints it is a part of.
    std::string unsaid = {};
};

template <class T>
using Names = std::vector<std::pair<std::string, T>>;

/// An entry whose value is one of a few words.
template <class T, class Access>
Entry choice(std::string name, const std::string& help, const Names<T>& words, Access access) {
    std::string list;
    for (const auto& [word, value] : words) list += (list.empty() ? "" : "|") + word;
    return {name, help + " (" + list + ")",
            [=](const Settings& s) {
                for (const auto& [word, value] : words)
                    if (access(const_cast<Settings&>(s)) == value) return word;
                return std::string("?");
            },
            [=](Settings& s, const std::string& text) {
                for (const auto& [word, value] : words)
                    if (word == text) {
                        access(s) = value;
                        return;
                    }
                reject(name, text, list);
            }};
}

/// An entry that is a number in [low, high].
template <class Access>
Entry number(std::string name, std::string help, double low, double high, Access access) {
    using T = std::decay_t<decltype(access(std::declval<Settings&>()))>;
    const std::string allowed = fmt::format(
        "{} from {} to {}", std::is_integral_v<T> ? "a whole number" : "a number", low, high);
    return {name, help,
            [=](const Settings& s) { return fmt::format("{}", access(const_cast<Settings&>(s))); },
            [=](Settings& s, const std::string& text) {
                T value{};
                const char* end = text.data() + text.size();
                const auto [stop, status] = std::from_chars(text.data(), end, value);
                if (status != std::errc() || stop != end ||
                    !std::isfinite(static_cast<double>(value)) ||
                    static_cast<double>(value) < low || static_cast<double>(value) > high)
                    reject(name, text, allowed);
                access(s) = value;
            }};
}

const Names<bool> on_off = {{"on", true}, {"off", false}};

Entry code_kind_entry() {
    std::string help = "family of codes:";
    for (const CodeFamily* family : code_families())
        help += fmt::format("{} {}: {}", family == code_families().front() ? "" : ";", family->name,
                            family->summary);
    return {"code.kind", help, [](const Settings& s) { return s.code.kind; },
            [](Settings& s, const std::string& text) {
                std::string list;
                for (const CodeFamily* family : code_families()) {
                    if (text == family->name) {
                        s.code.kind = text;
                        return;
                    }
                    list += (list.empty() ? "" : "|") + std::string(family->name);
                }
                reject("code.kind", text, list);
            }};
}

Entry stage_bits_entry() {
    return {
        "code.stage_bits",
        "bits of each residual stage, for example 9+9; one stage is k-means VQ (set by --bits); "
        "bits of a weight where a vector is a group with a value of its own",
        [](const Settings& s) { return fmt::format("{}", fmt::join(s.code.stage_bits, "+")); },
        [](Settings& s, const std::string& text) {
            const std::string allowed = "whole numbers from 1 to 16 joined by +, at most 64 in sum";
            std::vector<int> bits;
            int sum = 0;
            for (std::size_t at = 0; at <= text.size();) {
                const std::size_t plus = std::min(text.find('+', at), text.size());
                int b = 0;
                const auto [stop, status] =
                    std::from_chars(text.data() + at, text.data() + plus, b);
                if (status != std::errc() || stop != text.data() + plus || b < 1 || b > 16)
                    reject("code.stage_bits", text, allowed);
                bits.push_back(b);
                sum += b;
                at = plus + 1;
            }
            if (sum > 64) reject("code.stage_bits", text, allowed);
            s.code.stage_bits = bits;
        }};
}

Entry embedding_bits_entry() {
    return number(
        "embedding.bits",
        "bits a weight of the embedding and the head, scales counted, by codes of which a row "
        "decodes alone: up to 4.5 a trellis, above it scalar grids; 0: as embedding.code says",
        0, 8, [](Settings & s) -> auto& { return s.embedding_bits; });
}

Entry unsaid(std::string value, Entry entry) {
    entry.unsaid = std::move(value);
    return entry;
}

const std::vector<Entry>& entries() {
    using TS = TransformSettings;
    static const std::vector<Entry> all = {
        choice<TS::Hadamard>(
            "transform.hadamard", "random signs + Hadamard on inputs, or on both sides",
            {{"none", TS::Hadamard::none}, {"in", TS::Hadamard::in}, {"both", TS::Hadamard::both}},
            [](Settings & s) -> auto& { return s.transform.hadamard; }),
        choice<TS::ColumnScale>(
            "transform.column_scale",
            "column scales by column size of W, by W and H together, or by the inputs",
            {{"none", TS::ColumnScale::none},
             {"weight", TS::ColumnScale::weight},
             {"joint", TS::ColumnScale::joint},
             {"activation", TS::ColumnScale::activation}},
            [](Settings & s) -> auto& { return s.transform.column_scale; }),
        number(
            "transform.column_power",
            "column_scale=activation: the power of the inputs' root mean square", 0, 1,
            [](Settings & s) -> auto& { return s.transform.column_power; }),
        number(
            "transform.power_search",
            "column_scale=activation: powers from 0 to 1 tried on each layer without feedback, the "
            "best is taken (AWQ); 0: column_power",
            0, 100, [](Settings & s) -> auto& { return s.transform.power_search; }),
        choice<bool>(
            "transform.permute", "columns in descending order of diag(H)", on_off,
            [](Settings & s) -> auto& { return s.transform.permute; }),
        choice<Objective>(
            "objective.hessian", "what the error is weighed with",
            {{"full", Objective::full},
             {"diagonal", Objective::diagonal},
             {"identity", Objective::identity}},
            [](Settings & s) -> auto& { return s.objective; }),
        number(
            "objective.damping", "added to diag(H), in units of its mean", 0, 10,
            [](Settings & s) -> auto& { return s.damping; }),
        number(
            "objective.correction",
            "share of the drift of what is quantized before a layer that it makes good for; needs "
            "--hessians quantized",
            0, 1, [](Settings & s) -> auto& { return s.correction; }),
        code_kind_entry(),
        number(
            "code.rate", "kinds with rates by column: bits a weight on average; 0: by --bits", 0, 8,
            [](Settings & s) -> auto& { return s.code.rate; }),
        choice<bool>(
            "code.waterfill",
            "kinds with rates by column: each gets bits by its share of the loss; off: only the "
            "rates next to code.rate",
            on_off, [](Settings & s) -> auto& { return s.code.waterfill; }),
        number(
            "code.dim", "weights a vector or a group", 1, 64,
            [](Settings & s) -> auto& { return s.code.dim; }),
        choice<Grid>(
            "code.grid",
            "of single weights, for code.dim=1 or code.kind=grid and code.scope=universal",
            {{"gaussian", Grid::gaussian},
             {"uniform", Grid::uniform},
             {"nf", Grid::normal_float},
             {"fp", Grid::floating}},
            [](Settings & s) -> auto& { return s.code.grid; }),
        stage_bits_entry(),
        number(
            "code.most_stage_bits", "bits a stage has at most when --bits sizes the code", 1, 16,
            [](Settings & s) -> auto& { return s.code.most_stage_bits; }),
        number(
            "scale.search",
            "scales tried for each row, the best under diag(H) is taken; 0: the root mean square",
            0, 256, [](Settings & s) -> auto& { return s.scale_search; }),
        choice<Along>(
            "code.along", "vectors along input columns, or along output rows (VPTQ)",
            {{"inputs", Along::inputs}, {"outputs", Along::outputs}},
            [](Settings & s) -> auto& { return s.code.along; }),
        choice<CodebookScope>(
            "code.scope",
            "whose codebook: auto takes the narrowest that costs at most code.overhead",
            {{"auto", CodebookScope::automatic},
             {"tensor", CodebookScope::tensor},
             {"layer", CodebookScope::layer},
             {"model", CodebookScope::model},
             {"universal", CodebookScope::universal}},
            [](Settings & s) -> auto& { return s.code.scope; }),
        number(
            "code.overhead", "bits a weight that codebooks may cost with code.scope=auto", 0, 16,
            [](Settings & s) -> auto& { return s.code.overhead; }),
        number(
            "code.outliers",
            "share of columns with a finer code of their own (needs transform.permute=on)", 0, 0.5,
            [](Settings & s) -> auto& { return s.code.outliers; }),
        choice<bool>(
            "code.fill_outliers",
            "--bits sets the share of outlier columns, and all others get 1 bit (PB-LLM)", on_off,
            [](Settings & s) -> auto& { return s.code.fill_outliers; }),
        number(
            "code.outlier_dim", "weights a vector in outlier columns", 1, 64,
            [](Settings & s) -> auto& { return s.code.outlier_dim; }),
        number(
            "code.outlier_bits", "bits a vector in outlier columns", 1, 16,
            [](Settings & s) -> auto& { return s.code.outlier_bits; }),
        number(
            "side.sparse",
            "share of the weights kept in 16 bits beside the codes, those that cost most", 0, 0.5,
            [](Settings & s) -> auto& { return s.side.sparse; }),
        number(
            "side.rank", "rank of a low-rank term of 8-bit factors beside the codes", 0, 4096,
            [](Settings & s) -> auto& { return s.side.rank; }),
        choice<bool>(
            "side.fill_rank", "--bits sizes side.rank with what the codes leave over", on_off,
            [](Settings & s) -> auto& { return s.side.fill_rank; }),
        number(
            "side.rounds", "codes and side terms fitted in turn, at most", 1, 100,
            [](Settings & s) -> auto& { return s.side.rounds; }),
        number(
            "encoder.beam",
            "prefixes kept from stage to stage, and candidates compared in the local metric", 1, 64,
            [](Settings & s) -> auto& { return s.code.beam; }),
        number(
            "encoder.revisions",
            "rounds in which every stage is chosen again, the others fixed (additive codes)", 0, 64,
            [](Settings & s) -> auto& { return s.code.revisions; }),
        choice<bool>(
            "encoder.metric", "compare candidates in the local metric instead of plain L2", on_off,
            [](Settings & s) -> auto& { return s.metric; }),
        number(
            "encoder.tail",
            "trellis: weights on each side of a tile's seam that choose the state it closes with",
            8, 512, [](Settings & s) -> auto& { return s.code.tail; }),
        choice<FeedbackOrder>(
            "feedback.order", "none, forward (GPTQ) or backward (LDLQ)",
            {{"none", FeedbackOrder::none},
             {"forward", FeedbackOrder::forward},
             {"backward", FeedbackOrder::backward}},
            [](Settings & s) -> auto& { return s.order; }),
        number(
            "feedback.block", "columns quantized between corrections; 0: as wide as the vectors", 0,
            4096, [](Settings & s) -> auto& { return s.block; }),
        number(
            "feedback.passes",
            "passes; the tensor's codebooks are trained on the last pass's targets in between", 1,
            8, [](Settings & s) -> auto& { return s.passes; }),
        choice<ScaleLayout::Scope>(
            "scale.scope", "one scale a tensor, an output row, or a group of columns in a row",
            {{"tensor", ScaleLayout::Scope::tensor},
             {"row", ScaleLayout::Scope::row},
             {"group", ScaleLayout::Scope::group}},
            [](Settings & s) -> auto& { return s.scale.scope; }),
        number(
            "scale.group", "columns a group for scale.scope=group", 0, 65536,
            [](Settings & s) -> auto& { return s.scale.group; }),
        number(
            "kmeans.iterations", "of each codebook's training", 1, 1000,
            [](Settings & s) -> auto& { return s.code.kmeans.iterations; }),
        number(
            "kmeans.samples", "training vectors at most", 1, 1e9,
            [](Settings & s) -> auto& { return s.code.kmeans.samples; }),
        number(
            "kmeans.joint_rounds", "least-squares rounds over all stages of a residual code", 0,
            100, [](Settings & s) -> auto& { return s.code.kmeans.joint_rounds; }),
        number(
            "refine.rounds", "rounds of scales, codebooks and codes under the full Hessian; 0: off",
            0, 100, [](Settings & s) -> auto& { return s.refine.rounds; }),
        choice<bool>(
            "refine.scales", "solve the scales in closed form", on_off,
            [](Settings & s) -> auto& { return s.refine.scales; }),
        choice<bool>(
            "refine.codebooks", "solve the tensor's own codebooks by least squares", on_off,
            [](Settings & s) -> auto& { return s.refine.codebooks; }),
        choice<bool>(
            "refine.codes", "go through the codes again by coordinate descent", on_off,
            [](Settings & s) -> auto& { return s.refine.codes; }),
        choice<bool>(
            "refine.bias", "a layer's bias, where it has one, takes the mean error of its outputs",
            on_off, [](Settings & s) -> auto& { return s.bias; }),
        choice<EmbeddingCode>(
            "embedding.code",
            "of the embedding and the head: 8-bit integers with an fp16 scale for 32 of them (8.5 "
            "bits a weight, as packed files have them), or kept in fp16; --bits does not count "
            "them",
            {{"int8", EmbeddingCode::bytes}, {"fp16", EmbeddingCode::dense}},
            [](Settings & s) -> auto& { return s.embedding; }),
        unsaid("0", embedding_bits_entry()),
    };
    return all;
}

}  // namespace

std::vector<SettingInfo> describe_settings(const Settings& settings) {
    std::vector<SettingInfo> out;
    for (const Entry& e : entries()) out.push_back({e.name, e.help, e.get(settings)});
    return out;
}

void set_setting(Settings& settings, const std::string& name, const std::string& value) {
    for (const Entry& e : entries())
        if (e.name == name) {
            e.set(settings, value);
            return;
        }
    throw Error("unknown setting", "--set " + name + "=" + value,
                "see `vq quantize --help` for the names");
}

void set_setting(Settings& settings, const std::string& assignment) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos)
        throw Error("not of the form part.key=value", "--set " + assignment,
                    "for example --set refine.rounds=2");
    set_setting(settings, assignment.substr(0, equals), assignment.substr(equals + 1));
}

Json settings_json(const Settings& settings) {
    Json out = {{"method", settings.method}};
    for (const Entry& e : entries())
        if (const std::string value = e.get(settings); e.unsaid.empty() || value != e.unsaid)
            out[e.name] = value;
    return out;
}

void check_scale_groups(const Settings& s) {
    if (s.scale.scope == ScaleLayout::Scope::group && s.scale.group < 1)
        throw Error("a scale group needs a width", "scale.group",
                    "for example --set scale.group=128");
    if (s.scale.scope != ScaleLayout::Scope::group && s.scale.group > 0)
        throw Error("only scales of groups have a width",
                    "scale.group=" + std::to_string(s.scale.group),
                    "add --set scale.scope=group, or use scale.group=0");
}

void check_settings(const Settings& s) {
    check_scale_groups(s);
    const auto fail = [](const std::string& what, const std::string& where,
                         const std::string& todo) { throw Error(what, where, todo); };
    const CodeFamily& family = family_of(s.code);
    const bool rates = family.rates(s.code).any();
    if (s.side.fill_rank && (rates || s.code.fill_outliers))
        fail("this code takes the whole budget, so that nothing is left for a rank",
             "side.fill_rank", "use side.rank");
    if (s.side.fill_rank && s.side.rank < 1)
        fail("a rank that --bits sizes begins at 1", "side.rank", "use 1");
    const int bits = std::accumulate(s.code.stage_bits.begin(), s.code.stage_bits.end(), 0);
    if (!rates && (bits < 1 || bits > 64))
        fail("a code must have 1 to 64 bits", "code.stage_bits", "set it, or use --bits");
    family.check(s.code);
    if (family.own_scales && (s.scale.scope != ScaleLayout::Scope::tensor || s.scale_search > 0))
        fail("this code has scales of its own", "scale.scope",
             "use scale.scope=tensor, scale.group=0 and scale.search=0");
    if (s.scale_search > 0 && s.code.along == Along::outputs)
        fail("scales are searched row by row, and vectors along outputs span rows", "scale.search",
             "use 0, or code.along=inputs");
    if (rates) {
        if (s.block > 1)
            fail("rates by column take one column at a time", "feedback.block", "use 0 or 1");
        return;
    }
    if (s.code.outliers > 0 && !s.transform.permute)
        fail("outlier columns need the columns in order of diag(H)", "code.outliers",
             "add --set transform.permute=on");
    if (s.code.outliers > 0 && s.transform.hadamard != TransformSettings::Hadamard::none)
        fail("after a Hadamard transform no column stands out", "code.outliers",
             "use --set code.outliers=0 or --set transform.hadamard=none");
    if (s.code.outliers > 0 && s.code.scope == CodebookScope::universal)
        fail("outlier columns need a codebook of their own", "code.outliers",
             "use another code.scope than universal");
    if (s.scale.scope == ScaleLayout::Scope::group && s.code.along == Along::inputs &&
        s.scale.group % s.code.dim != 0)
        fail("a vector would straddle two scale groups", "scale.group",
             "use a multiple of code.dim");
    if (s.code.outliers > 0 && s.code.along == Along::inputs) {
        if (s.scale.scope == ScaleLayout::Scope::group && s.scale.group % s.code.outlier_dim != 0)
            fail("an outlier vector would straddle two scale groups", "scale.group",
                 "use a multiple of code.outlier_dim");
        const Index block = s.block > 0 ? s.block : s.code.dim;
        if (block % s.code.outlier_dim != 0)
            fail("a feedback block must hold whole outlier vectors", "code.outlier_dim",
                 "use a divisor of feedback.block (or of code.dim where that is 0)");
    }
    const Index unit = s.code.along == Along::inputs ? s.code.dim : 1;
    if (s.block != 0 && s.block % unit != 0)
        fail("a feedback block must hold whole vectors", "feedback.block",
             "use a multiple of code.dim");
}

}  // namespace vq
