// SPDX-License-Identifier: Apache-2.0
// Choosing the next token from logits: greedy, or drawn from softmax(logits / temperature) cut down
// to the top_k most likely tokens and then to the smallest set whose probability reaches top_p.
#pragma once

#include <cstdint>

#include "base/matrix.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

struct SampleOptions {
    double temperature = 0;  ///< 0: greedy
    Index top_k = 0;         ///< 0: all
    double top_p = 1;        ///< in (0, 1]
    std::uint64_t seed = 0;
};

/// Throws Error when a setting is out of range.
void check_sample_options(const SampleOptions& options);

/// The token at step `step` of a sequence; the same (logits, options, step) give the same token.
/// Ties go to the lowest id.
TokenId sample_token(const Vector& logits, const SampleOptions& options, std::uint64_t step);

}  // namespace vq
