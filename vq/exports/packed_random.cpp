// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/packed_random.h"

#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/scalar/grid_pack.h"
#include "lattice/e8p/e8p_pack.h"
#include "lattice/trellis/trellis_pack.h"

namespace vq {

namespace {

using decode::CodeKind;

struct RandomCode {
    std::string name;
    CodeKind kind;
    int dim;
    std::vector<int> stage_bits;
    bool along_outputs;
};

const std::vector<RandomCode>& codes() {
    constexpr auto grid = CodeKind::grid;
    constexpr auto lut = CodeKind::lut;
    constexpr auto e8p = CodeKind::e8p;
    constexpr auto table = CodeKind::table;
    constexpr auto trellis = CodeKind::trellis;
    static const std::vector<RandomCode> all = {
        {"lut-2x8", lut, 8, {8, 8}, false},     {"lut-2x9", lut, 8, {9, 9}, false},
        {"lut-3x8", lut, 8, {8, 8, 8}, false},  {"trellis-1", trellis, 1, {1}, false},
        {"trellis-2", trellis, 1, {2}, false},  {"trellis-3", trellis, 1, {3}, false},
        {"trellis-4", trellis, 1, {4}, false},  {"e8p", e8p, 8, {16}, false},
        {"e8p-3", e8p, 8, {16, 8}, false},      {"e8p-4", e8p, 8, {16, 16}, false},
        {"kmeans-8x16", table, 8, {16}, false}, {"kmeans-6x12-outputs", table, 6, {12}, true},
        {"scalar-1", grid, 1, {1}, false},      {"scalar-2", grid, 1, {2}, false},
        {"scalar-3", grid, 1, {3}, false},      {"scalar-4", grid, 1, {4}, false},
    };
    return all;
}

const RandomCode& find(const std::string& name) {
    std::string names;
    for (const RandomCode& c : codes()) {
        if (c.name == name) return c;
        names += (names.empty() ? "" : ", ") + c.name;
    }
    throw Error("unknown code", name, "use one of: " + names);
}

Index round_up(Index n, Index unit) {
    return (n + unit - 1) / unit * unit;
}

std::vector<std::uint64_t> random_codes(Index n, int bits, std::uint64_t seed) {
    std::vector<std::uint64_t> out(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = random_bits(seed, i) >> (64 - bits);
    return out;
}

PackedSegment random_segment(const RandomCode& code, PackedTensor& t, std::uint64_t seed) {
    PackedSegment s;
    const int bits = std::accumulate(code.stage_bits.begin(), code.stage_bits.end(), 0);
    s.record.code = code.kind;
    s.record.cols = static_cast<std::uint64_t>(t.padded_cols);
    if (code.kind == CodeKind::trellis) {
        const Index tile = t.padded_rows % 256 == 0 ? 256 : 64;
        s.record.trellis_value = decode::TrellisValue::byte_sum;
        s.record.trellis_bits = static_cast<std::uint32_t>(bits);
        s.record.tile_rows = static_cast<std::uint32_t>(tile);
        s.record.multiplier[0] = bits <= 2 ? 0xBA69BA69u : 0x83DCD12Du;  // as TrellisCode has them
        s.record.gain[0] = 1 / 147.8F;
        std::vector<std::uint8_t> streams(
            static_cast<std::size_t>(t.padded_rows * t.padded_cols * bits / 8));
        for (std::size_t i = 0; i < streams.size(); ++i)
            streams[i] = static_cast<std::uint8_t>(random_bits(seed, i));
        s.codes = trellis_layout(streams, t.padded_rows, t.padded_cols, tile, bits);
        return s;
    }
    s.record.along_outputs = code.along_outputs ? 1 : 0;
    s.record.dim = static_cast<std::uint32_t>(code.dim);
    s.record.stages = static_cast<std::uint32_t>(code.stage_bits.size());
    for (std::size_t m = 0; m < code.stage_bits.size(); ++m) {
        s.record.stage_bits[m] = static_cast<std::uint32_t>(code.stage_bits[m]);
        if (code.kind == CodeKind::e8p)
            s.record.gain[m] = m == 0 ? 1.0F : 0.5F;
        else
            s.record.codebook[m] = static_cast<std::uint32_t>(m);
    }
    const std::vector<std::uint64_t> words =
        random_codes(t.padded_rows * t.padded_cols / code.dim, bits, seed);
    const Index across = code.along_outputs ? t.padded_cols : t.padded_cols / code.dim;
    s.codes = code.kind == CodeKind::grid  ? grid_layout(words, t.padded_rows, across, bits)
              : code.kind == CodeKind::e8p ? e8p_layout(words, t.padded_rows, across, bits)
              : code.kind == CodeKind::lut
                  ? lut_layout(words, t.padded_rows, across, code.stage_bits)
                  : table_layout(words, static_cast<Index>(words.size()) / across, across, bits);
    return s;
}

}  // namespace

const std::vector<std::string>& random_code_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> out;
        for (const RandomCode& c : codes()) out.push_back(c.name);
        return out;
    }();
    return names;
}

void random_packed(const std::string& code_name, Index rows, Index cols, Index copies,
                   std::uint64_t seed, const PackedSink& sink) {
    const RandomCode& code = find(code_name);
    PackedWriter writer(sink);
    if (code.kind != CodeKind::trellis && code.kind != CodeKind::e8p)
        for (std::size_t m = 0; m < code.stage_bits.size(); ++m) {
            const Index entries = Index{1} << code.stage_bits[m];
            std::vector<float> words(static_cast<std::size_t>(entries * code.dim));
            for (std::size_t i = 0; i < words.size(); ++i)
                words[i] = static_cast<float>(random_normal(seed + 1 + m, i));
            writer.add_codebook(words.data(), entries, code.dim);
        }
    PackedTensor t;
    t.rows = rows;
    t.cols = cols;
    t.padded_rows = round_up(rows, code.kind != CodeKind::table ? 64
                                   : code.along_outputs         ? code.dim
                                                                : 1);
    t.padded_cols = code.along_outputs ? cols : round_up(cols, code.dim);
    t.scale_kind = decode::ScaleKind::row;
    t.scales.assign(static_cast<std::size_t>(t.padded_rows), 1.0F);
    t.segments.push_back(random_segment(code, t, seed));
    for (Index i = 0; i < copies; ++i) {
        t.name = "w" + std::to_string(i);
        writer.add_tensor(t);
    }
    writer.finish();
}

}  // namespace vq
