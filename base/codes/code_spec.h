// SPDX-License-Identifier: Apache-2.0
// Code specs: what a store says of one code, read with checks by the code's family. Nothing in a
// file is trusted.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/codes/code.h"

namespace vq {

/// Throws Error that names the tensor, with `what` is wrong in it.
using SpecFault = std::function<void(const std::string& what)>;

/// A stored codebook's values, all finite; a fault unless there are `count` of them.
using Parameters = std::function<std::vector<float>(Index count)>;

/// An integer within [low, high].
Index spec_integer(const Json& entry, const char* key, Index low, Index high,
                   const SpecFault& fail);

/// The key stage_bits: 1 to 16 bits a stage, at most 64 together.
std::vector<int> parse_stage_bits(const Json& entry, const SpecFault& fail);

/// `code`, of which the description in `entry` must have the same values for these keys: constants
/// of a computed code must be those of this program.
CodePtr with_constants(CodePtr code, const Json& entry, std::initializer_list<const char*> keys,
                       const SpecFault& fail);

}  // namespace vq
