// SPDX-License-Identifier: Apache-2.0
// Cases of scalar grids with random values.
#pragma once

#include "codebooks/scalar/grid.h"
#include "codebooks/scalar/grid_pack.h"
#include "tests/codebooks/residual/staged_case.h"

namespace vq::test {

inline PackedCase grid_case(const Shape& shape, int bits, std::uint64_t seed) {
    PackedCase c = staged_case(
        decode::grid_code, shape, 1, {bits}, false, seed,
        [](const auto& codes, Index rows, Index across, const std::vector<int>& stages) {
            return grid_layout(codes, rows, across, stages[0]);
        });
    c.integer_sums = shape.scale_group % decode::activation_group == 0;
    c.rounds_codewords = true;
    c.panels_of_codes = c.integer_sums;
    return c;
}

extern const CodeCases grid_cases;

}  // namespace vq::test
