// SPDX-License-Identifier: Apache-2.0
// Universal codebooks: trained once on i.i.d. N(0, 1) vectors and shipped with the library
// (codebooks/data/*.npy, fp16). After a Hadamard transform and scaling, weights are close to
// Gaussian, so one codebook serves every tensor of every model; a store holds one copy of it.
// codebooks/residual/train_universal.cpp makes the files.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "codebooks/residual/residual_code.h"

namespace vq {

/// "gauss_d8_9_9" for vectors of 8 weights in two stages of 9 bits.
std::string universal_name(int dim, std::span<const int> stage_bits);

/// The names that are shipped.
std::vector<std::string> universal_names();

/// The stages of every shipped code for vectors of `dim` weights, empty if there is none.
std::vector<std::vector<int>> universal_stages(int dim);

/// The code of that name. Throws Error when it is not shipped (and lists what is).
std::shared_ptr<const ResidualCode> universal_code(int dim, std::span<const int> stage_bits,
                                                   int beam);

}  // namespace vq
