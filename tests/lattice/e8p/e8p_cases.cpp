// SPDX-License-Identifier: Apache-2.0
#include "tests/lattice/e8p/e8p_case.h"

namespace vq::test {

namespace {

std::vector<PackedCase> awkward() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 3000;
    for (const std::vector<int>& bits : E8pCode::stage_choices())
        for (const Shape& s : {Shape{1, 8}, Shape{130, 264, Rotation::both},
                               Shape{65, 1003, Rotation::none, false, true}})
            out.push_back(e8p_case(s, bits, seed += 50));
    return out;
}

std::vector<PackedCase> small() {
    std::vector<PackedCase> out;
    out.push_back(e8p_case({40, 21, Rotation::in}, {16, 8}, 4));
    return out;
}

}  // namespace

const CodeCases e8p_cases = {&decode::e8p_code, awkward, small};

}  // namespace vq::test
