// SPDX-License-Identifier: Apache-2.0
#include "model/random_packed.h"

#include "base/error.h"
#include "base/rng.h"
#include "vq/exports/packed_tensor.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

/// A code by what a run would say of it.
struct RandomCode {
    const char* name;
    CodeSettings settings;
};

RandomCode vectors(const char* name, const char* kind, int dim, std::vector<int> stage_bits,
                   Along along = Along::inputs) {
    RandomCode out{name, {}};
    out.settings.kind = kind;
    out.settings.dim = dim;
    out.settings.stage_bits = std::move(stage_bits);
    out.settings.along = along;
    return out;
}

RandomCode of_rate(const char* name, const char* kind, int bits, Along along) {
    RandomCode out{name, {}};
    out.settings.kind = kind;
    out.settings.rate = bits;
    out.settings.along = along;
    return out;
}

const std::vector<RandomCode>& codes() {
    static const std::vector<RandomCode> all = {
        vectors("lut-2x8", "residual", 8, {8, 8}),
        vectors("lut-2x9", "residual", 8, {9, 9}),
        vectors("lut-3x8", "residual", 8, {8, 8, 8}),
        of_rate("trellis-1", "trellis", 1, Along::outputs),
        of_rate("trellis-2", "trellis", 2, Along::outputs),
        of_rate("trellis-3", "trellis", 3, Along::outputs),
        of_rate("trellis-4", "trellis", 4, Along::outputs),
        vectors("e8p", "e8p", 8, {16}),
        vectors("e8p-3", "e8p", 8, {16, 8}),
        vectors("e8p-4", "e8p", 8, {16, 16}),
        vectors("kmeans-8x16", "residual", 8, {16}),
        vectors("kmeans-6x12-outputs", "residual", 6, {12}, Along::outputs),
        of_rate("scalar-1", "grid", 1, Along::inputs),
        of_rate("scalar-2", "grid", 2, Along::inputs),
        of_rate("scalar-3", "grid", 3, Along::inputs),
        of_rate("scalar-4", "grid", 4, Along::inputs),
    };
    return all;
}

const RandomCode& find(const std::string& name) {
    std::string names;
    for (const RandomCode& c : codes()) {
        if (c.name == name) return c;
        names += (names.empty() ? "" : ", ") + std::string(c.name);
    }
    throw Error("unknown code", name, "use one of: " + names);
}

Index round_up(Index n, Index unit) {
    return (n + unit - 1) / unit * unit;
}

/// What has to be trained gets normal words instead.
CodePtr make_code(const CodeSettings& settings, Index rows, std::uint64_t seed) {
    const CodeFamily& family = family_of(settings);
    const CodePlace place{rows, HalfBits::whole(static_cast<int>(settings.rate))};
    CodePtr code = family.make(settings, place);
    if (family.train == nullptr) return code;
    std::vector<float> words(code->parameters().size());
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = static_cast<float>(random_normal(seed, i));
    return code->with_parameters(words);
}

/// Codes are drawn until they are such as an encoder might write.
CodeArray draw_codes(const Code& code, Index count, std::uint64_t seed) {
    const auto words = static_cast<std::size_t>(code.words());
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(count) * words);
    const int last_bits = code.bits() - 64 * (code.words() - 1);
    std::uint64_t draws = 0;
    for (std::size_t i = 0; i < codes.size(); i += words) {
        do {
            for (std::size_t k = 0; k < words; ++k) codes[i + k] = random_bits(seed, draws++);
            codes[i + words - 1] >>= 64 - last_bits;
        } while (!code.valid(&codes[i]));
    }
    return {codes, code.bits()};
}

ParsedTensor random_tensor(const CodeSettings& settings, Index rows, Index cols,
                           std::uint64_t seed) {
    Segment segment;
    segment.code = make_code(settings, rows, seed + 1);
    segment.shared = "words";  // by all copies
    const Index dim = segment.code->dim();
    const bool inputs = settings.along == Along::inputs;
    const Index padded_rows = inputs ? rows : round_up(rows, dim);
    segment.cols = inputs ? round_up(cols, dim) : cols;
    segment.codes = draw_codes(*segment.code, padded_rows * segment.cols / dim, seed);
    ParsedTensor out;
    out.shape = {rows, cols};
    out.coded = CodedTensor(padded_rows, segment.cols, settings.along, {ScaleLayout::Scope::row, 0},
                            {std::move(segment)});
    return out;
}

}  // namespace

const std::vector<std::string>& random_code_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> out;
        for (const RandomCode& c : codes()) out.emplace_back(c.name);
        return out;
    }();
    return names;
}

void random_packed(const std::string& code, Index rows, Index cols, Index copies,
                   std::uint64_t seed, const PackedSink& sink) {
    PackedTensor t = packed_tensor(random_tensor(find(code).settings, rows, cols, seed));
    PackedWriter writer(sink);
    for (Index i = 0; i < copies; ++i) {
        t.name = "w" + std::to_string(i);
        writer.add_tensor(t);
    }
    writer.finish();
}

}  // namespace vq
