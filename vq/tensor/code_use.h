// SPDX-License-Identifier: Apache-2.0
// Code use: how evenly a learned code's words are used, from the codes in a store. Where a stage's
// entropy lies well under its bits, an entropy coder or a smaller codebook would do the same.
#pragma once

#include <vector>

#include "vq/tensor/coded_tensor.h"

namespace vq {

/// One stage of the codes of a segment of columns.
struct StageUse {
    int bits = 0;        ///< of an index
    double entropy = 0;  ///< of the indices as counted, in bits; too low with few codes a word
    Index words = 0;     ///< 2^bits
    Index used = 0;      ///< words that occur
    Index codes = 0;     ///< indices counted
};

/// Stages of all segments whose code has codebooks, in order; the words of other codes are
/// computed.
std::vector<StageUse> code_use(const CodedTensor& tensor);

}  // namespace vq
