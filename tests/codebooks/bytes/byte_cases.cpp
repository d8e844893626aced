// SPDX-License-Identifier: Apache-2.0
#include "tests/codebooks/bytes/byte_case.h"

namespace vq::test {

namespace {

std::vector<PackedCase> awkward() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 3450;
    for (const Shape& s : {Shape{1, 1}, Shape{65, 129}, Shape{130, 576, Rotation::both},
                           Shape{64, 301, Rotation::none, false, true}})
        out.push_back(byte_case(s, seed += 50));
    return out;
}

std::vector<PackedCase> small() {
    std::vector<PackedCase> out;
    out.push_back(byte_case({40, 33, Rotation::in}, 6));
    return out;
}

}  // namespace

const CodeCases byte_cases = {&decode::bytes_code, awkward, small};

}  // namespace vq::test
