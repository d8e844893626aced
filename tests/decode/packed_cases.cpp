// SPDX-License-Identifier: Apache-2.0
#include "tests/decode/packed_cases.h"

#include "base/cpu.h"
#include "tests/codebooks/bytes/byte_case.h"
#include "tests/codebooks/iq4nl/iq4nl_case.h"
#include "tests/codebooks/residual/staged_case.h"
#include "tests/codebooks/scalar/grid_case.h"
#include "tests/lattice/e8p/e8p_case.h"
#include "tests/lattice/trellis/trellis_case.h"

namespace vq::test {

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

std::span<const CodeCases* const> code_cases() {
    static constexpr const CodeCases* all[] = {
        &lut_cases, &table_cases, &trellis_cases, &grid_cases,
        &e8p_cases, &byte_cases,  &iq4nl_cases,
    };
    return all;
}

const std::vector<PackedCase>& cases() {
    static const std::vector<PackedCase> all = [] {
        std::vector<PackedCase> out;
        for (const CodeCases* code : code_cases())
            for (PackedCase& c : code->awkward()) out.push_back(std::move(c));
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
