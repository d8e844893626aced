// SPDX-License-Identifier: Apache-2.0
// Codes of every kind on awkward shapes, and the products that tests compare.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "decode/vqkit_decode.hpp"
#include "tests/decode/packed_case.h"

namespace vq::test {

/// What VQ_ISA may say on this processor.
const std::vector<std::string>& isas();

/// Of all codes.
std::span<const CodeCases* const> code_cases();

/// All awkward ones, built once.
const std::vector<PackedCase>& cases();

vqd::File open(const PackedCase& c);

/// Normal numbers.
std::vector<float> activations(Index n, std::uint64_t seed);

/// y = W x by the code under test, serial.
std::vector<float> product(const PackedCase& c, const std::vector<float>& x, vqd_mode mode);

/// y = W x and sum |W| |x| a row, from the definition.
struct Reference {
    VectorD y;
    VectorD size;
};
Reference reference(const PackedCase& c, const std::vector<float>& x);

}  // namespace vq::test
