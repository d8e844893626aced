// SPDX-License-Identifier: Apache-2.0
// A tensor as a store will hold it, before it is made: what the size of a file is predicted from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vq/layer/settings.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

/// The outline() of what quantize_layer() or round_tensor() makes of a tensor of `shape`. `shared`:
/// names of the codebooks that it is given. All of it is exact but two things that the weights
/// decide: columns of different rates are taken to lie in two runs, and side terms to be as large
/// as they may be.
StoredTensor planned_tensor(const std::string& name, TensorShape shape, const Settings& settings,
                            const std::vector<std::string>& shared, std::uint64_t seed);

/// Bits of its codes, where the family has rates.
double rate_bits(TensorShape shape, const Settings& settings);

/// The highest code.rate whose codes take at most `bits`, from the least rate of the family to its
/// most.
double rate_within(TensorShape shape, const Settings& settings, double bits);

/// Bytes that columns in more runs than two may add to what is planned for one tensor.
std::int64_t runs_reserve(const Settings& settings);

}  // namespace vq
