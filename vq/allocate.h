// Allocator: which share of a model's bits each tensor of a block gets. With losses that fall as
// 4^-b, sum_t e_t 4^-b_t is least under sum_t n_t b_t = B where e_t 4^-b_t is in proportion to n_t:
//     b_t = b + log2(e_t / n_t) / 2 + constant,
// e_t the relative error of a tensor's outputs at equal bits, n_t its number of weights. Both
// depend on what the tensor does far more than on the layer or the model: keys and queries answer
// to few directions of their inputs, values and attention outputs to many, and are small. The
// offsets are fixed by role, so that a budget is met before any text is seen.
#pragma once

#include "vq/settings.h"

namespace vq {

/// Tensors of a block in the order of linear_groups().
enum class Role { q, k, v, o, gate, up, down };
constexpr int roles = 7;

/// Bits a weight that `role` gets more or less than the average, at allocate.spread = 1 and a rate
/// with room for it; the spread shrinks to nothing towards 1 and 4 bits.
double role_offset(Role role);

/// The settings of one tensor: those of the run, with the rate of its role (within those
/// of its code). Only codes with columns of different rates have any rate; others keep theirs.
Settings tensor_settings(const Settings& settings, Role role);

}  // namespace vq
