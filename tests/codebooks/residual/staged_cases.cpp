// SPDX-License-Identifier: Apache-2.0
#include "tests/codebooks/residual/staged_case.h"

namespace vq::test {

namespace {

std::vector<PackedCase> awkward_lut() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 100;
    const auto add = [&](const Shape& s, int dim, const std::vector<int>& bits) {
        out.push_back(lut_case(s, dim, bits, seed += 50));
    };
    const std::vector<int> two = {8, 8};
    add({1, 8}, 8, two);
    add({3, 136}, 8, two);
    add({64, 576, Rotation::both}, 8, two);
    add({321, 264, Rotation::both, true, true}, 8, two);
    add({577, 250}, 8, {8});
    add({130, 301, Rotation::in}, 8, {9, 9});
    add({257, 144}, 8, {10, 8, 9});
    add({65, 130, Rotation::none, false}, 4, {8});
    add({70, 96}, 16, {8, 8, 8, 8, 8, 8, 8, 8});
    return out;
}

std::vector<PackedCase> small_lut() {
    std::vector<PackedCase> out;
    out.push_back(lut_case({70, 40, Rotation::both, true, true}, 8, {8, 9}, 1));
    return out;
}

std::vector<PackedCase> awkward_tables() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 550;
    const auto add = [&](const Shape& s, int dim, const std::vector<int>& bits, bool along) {
        out.push_back(table_case(s, dim, bits, along, seed += 50));
    };
    add({1, 1}, 1, {2}, false);
    add({33, 129, Rotation::both}, 8, {6, 6}, false);
    add({17, 1100}, 3, {11}, false);
    add({50, 77, Rotation::none, false, true}, 6, {12}, true);
    add({31, 70, Rotation::in, true, true}, 1, {3}, false);
    add({35, 520, Rotation::both}, 8, {12}, false);
    add({66, 300, Rotation::in, true, true}, 4, {9, 5, 7}, false);
    add({90, 333, Rotation::none, false}, 6, {12, 4}, true);
    add({80, 259, Rotation::both}, 8, {7}, true);
    add({34, 160}, 16, {6}, false);                                 // without a kernel
    add({33, 96, Rotation::none, true, false, 48}, 8, {6}, false);  // without a kernel
    return out;
}

std::vector<PackedCase> small_tables() {
    std::vector<PackedCase> out;
    out.push_back(table_case({10, 21}, 3, {4, 3}, true, 2));
    return out;
}

}  // namespace

const CodeCases lut_cases = {&decode::lut_code, awkward_lut, small_lut};
const CodeCases table_cases = {&decode::table_code, awkward_tables, small_tables};

}  // namespace vq::test
