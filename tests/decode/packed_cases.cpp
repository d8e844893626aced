// SPDX-License-Identifier: Apache-2.0
#include "tests/decode/packed_cases.h"

#include "base/cpu.h"

namespace vq::test {

using decode::CodeKind;

const std::vector<std::string>& isas() {
    static const std::vector<std::string> all = [] {
        std::vector<std::string> names = {"scalar"};
        if (detect_isa() >= Isa::avx2) names.emplace_back("avx2");
        if (detect_isa() >= Isa::avx512) names.emplace_back("avx512");
        if (detect_isa() >= Isa::amx) names.emplace_back("amx");
        return names;
    }();
    return all;
}

const std::vector<PackedCase>& cases() {
    static const std::vector<PackedCase> all = [] {
        std::vector<PackedCase> out;
        const std::vector<int> two = {8, 8};
        std::uint64_t seed = 100;
        const auto lut = [&](const Shape& s, int dim, const std::vector<int>& bits) {
            out.push_back(residual_case(CodeKind::lut, s, dim, bits, false, seed += 50));
        };
        lut({1, 8}, 8, two);
        lut({3, 136}, 8, two);
        lut({64, 576, Rotation::both}, 8, two);
        lut({321, 264, Rotation::both, true, true}, 8, two);
        lut({577, 250}, 8, {8});
        lut({130, 301, Rotation::in}, 8, {9, 9});
        lut({257, 144}, 8, {10, 8, 9});
        lut({65, 130, Rotation::none, false}, 4, {8});
        lut({70, 96}, 16, {8, 8, 8, 8, 8, 8, 8, 8});
        const auto table = [&](const Shape& s, int dim, const std::vector<int>& bits, bool along) {
            out.push_back(residual_case(CodeKind::table, s, dim, bits, along, seed += 50));
        };
        table({1, 1}, 1, {2}, false);
        table({33, 129, Rotation::both}, 8, {6, 6}, false);
        table({17, 1100}, 3, {11}, false);
        table({50, 77, Rotation::none, false, true}, 6, {12}, true);
        table({31, 70, Rotation::in, true, true}, 1, {3}, false);
        table({35, 520, Rotation::both}, 8, {12}, false);
        table({66, 300, Rotation::in, true, true}, 4, {9, 5, 7}, false);
        table({90, 333, Rotation::none, false}, 6, {12, 4}, true);
        table({80, 259, Rotation::both}, 8, {7}, true);
        table({34, 160}, 16, {6}, false);                                 // without a kernel
        table({33, 96, Rotation::none, true, false, 48}, 8, {6}, false);  // without a kernel
        const auto trellis = [&](const Shape& s, const TrellisCode& code) {
            out.push_back(trellis_case(s, code, seed += 50));
        };
        for (int k = 1; k <= 4; ++k) {
            trellis({32, 1}, byte_sum_code(k, 32));
            trellis({63, 131, Rotation::both}, byte_sum_code(k, 64));
            TrellisCode halves_alike = byte_sum_code(k, 160);
            halves_alike.multiplier = 0xBA69BA69u;
            trellis({200, 257, Rotation::none, false}, byte_sum_code(k, 160));
            trellis({200, 257, Rotation::none, false}, halves_alike);
        }
        trellis({300, 258, Rotation::in, false, true}, byte_sum_code(2, 320));
        trellis({96, 64}, byte_sum_code(3, 96));
        const auto grid = [&](const Shape& s, int bits) {
            out.push_back(residual_case(CodeKind::grid, s, 1, {bits}, false, seed += 50));
        };
        for (int bits = 1; bits <= 4; ++bits) {
            grid({1, 1}, bits);
            grid({65, 129}, bits);
            grid({130, 301, Rotation::both, true, true}, bits);
            grid({70, 520, Rotation::none, true, false, 256}, bits);
            grid({64, 130, Rotation::none, true, false, 48}, bits);  // without a kernel
        }
        const auto e8p = [&](const Shape& s, const std::vector<int>& bits) {
            out.push_back(e8p_case(s, bits, seed += 50));
        };
        for (const std::vector<int>& bits : E8pCode::stage_choices()) {
            e8p({1, 8}, bits);
            e8p({130, 264, Rotation::both}, bits);
            e8p({65, 1003, Rotation::none, false, true}, bits);
        }
        for (const Shape& s : {Shape{1, 1}, Shape{65, 129}, Shape{130, 576, Rotation::both},
                               Shape{64, 301, Rotation::none, false, true}})
            out.push_back(byte_case(s, seed += 50));
        return out;
    }();
    return all;
}

vqd::File open(const PackedCase& c) {
    return {c.file.data(), c.file.size()};
}

std::vector<float> activations(Index n, std::uint64_t seed) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) x[i] = static_cast<float>(random_normal(seed, i));
    return x;
}

std::vector<float> product(const PackedCase& c, const std::vector<float>& x, vqd_mode mode) {
    const vqd::File file = open(c);
    vqd::Decoder decoder(file);
    std::vector<float> y(static_cast<std::size_t>(c.tensor.rows));
    decoder.matvec(0, x.data(), y.data(), mode);
    return y;
}

Reference reference(const PackedCase& c, const std::vector<float>& x) {
    const VectorD v = Eigen::Map<const Vector>(x.data(), c.tensor.cols).cast<double>();
    return {c.weights * v, c.weights.cwiseAbs() * v.cwiseAbs()};
}

}  // namespace vq::test
