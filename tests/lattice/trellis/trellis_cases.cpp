// SPDX-License-Identifier: Apache-2.0
#include "tests/lattice/trellis/trellis_case.h"

namespace vq::test {

namespace {

std::vector<PackedCase> awkward() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 1100;
    const auto add = [&](const Shape& s, const TrellisCode& code) {
        out.push_back(trellis_case(s, code, seed += 50));
    };
    for (int k = 1; k <= 4; ++k) {
        add({32, 1}, byte_sum_code(k, 32));
        add({63, 131, Rotation::both}, byte_sum_code(k, 64));
        TrellisCode halves_alike = byte_sum_code(k, 160);  // kernels save a product
        halves_alike.multiplier = 0xBA69BA69u;
        add({200, 257, Rotation::none, false}, byte_sum_code(k, 160));
        add({200, 257, Rotation::none, false}, halves_alike);
    }
    add({300, 258, Rotation::in, false, true}, byte_sum_code(2, 320));
    add({96, 64}, byte_sum_code(3, 96));
    return out;
}

std::vector<PackedCase> small() {
    std::vector<PackedCase> out;
    out.push_back(trellis_case({40, 9}, byte_sum_code(2, 64), 3));
    return out;
}

}  // namespace

const CodeCases trellis_cases = {&decode::trellis_code, awkward, small};

}  // namespace vq::test
