// SPDX-License-Identifier: Apache-2.0
#include "tests/codebooks/scalar/grid_case.h"

namespace vq::test {

namespace {

std::vector<PackedCase> awkward() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 2000;
    for (int bits = 1; bits <= 4; ++bits)
        for (const Shape& s :
             {Shape{1, 1}, Shape{65, 129}, Shape{130, 301, Rotation::both, true, true},
              Shape{70, 520, Rotation::none, true, false, 256},
              Shape{64, 130, Rotation::none, true, false, 48}})  // no kernel
            out.push_back(grid_case(s, bits, seed += 50));
    return out;
}

std::vector<PackedCase> small() {
    std::vector<PackedCase> out;
    out.push_back(grid_case({40, 33, Rotation::none, true, false, 128}, 3, 5));
    return out;
}

}  // namespace

const CodeCases grid_cases = {&decode::grid_code, awkward, small};

}  // namespace vq::test
