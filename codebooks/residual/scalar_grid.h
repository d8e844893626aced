// SPDX-License-Identifier: Apache-2.0
// Fixed grids for one weight at a time (d = 1), scaled for values of variance 1: what scalar
// methods quantize to when nothing is learned. A store keeps them like any shared codebook.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/codes/code_settings.h"
#include "codebooks/residual/residual_code.h"

namespace vq {

/// "gauss_2", "uniform_3", "nf_4", "fp_4".
std::string scalar_grid_name(Grid grid, int bits);

/// Rates for which a grid exists, ascending.
std::vector<int> scalar_grid_bits(Grid grid);

/// Values ascending (floating: with zero twice), rounded to fp16. Throws Error when there is none.
std::shared_ptr<const ResidualCode> scalar_grid(Grid grid, int bits);

/// Mean squared error of the nearest of `values` (ascending) on N(0, 1).
double gaussian_distortion(const std::vector<float>& values);

}  // namespace vq
