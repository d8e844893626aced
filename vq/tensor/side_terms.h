// SPDX-License-Identifier: Apache-2.0
// Side terms: what a tensor keeps beside its codes, in the space of the original weights:
//     What = decoded codes + low-rank term + sparse term.
// Codes and side terms are fitted in turn under H: the codes see W less the side terms, the side
// terms see what the codes left over.
#pragma once

#include <map>
#include <string>

#include "base/json.h"
#include "io/checkpoints/weight_source.h"
#include "io/files/array.h"
#include "vq/tensor/low_rank.h"
#include "vq/tensor/sparse_weights.h"

namespace vq {

struct SideSettings {
    double sparse = 0;       ///< share of the weights kept beside the codes
    int rank = 0;            ///< of the low-rank term
    bool fill_rank = false;  ///< --bits sizes the rank
    int rounds = 1;          ///< codes and side terms in turn, at most
    bool any() const { return sparse > 0 || rank > 0; }
};

struct SideTerms {
    LowRank low_rank;
    SparseWeights sparse;

    bool empty() const { return low_rank.rank() == 0 && sparse.count() == 0; }
    /// out += both terms.
    void add_to(Matrix& out) const;
    /// Adds the arrays that hold them; returns the description that parse() reads.
    Json describe(std::map<std::string, Array>& arrays) const;
    /// Throws Error with `where` on anything that does not fit.
    static SideTerms parse(const Json& description, const std::map<std::string, Array>& arrays,
                           TensorShape shape, const std::string& where);
};

/// Both terms for R (m, n) under H: first the low-rank one, then the sparse one for what is left.
SideTerms fit_side_terms(const Matrix& residual, const MatrixD& h, const SideSettings& settings,
                         std::uint64_t seed);

/// Bits on disk of the terms of a tensor of `shape`.
double side_bits(TensorShape shape, const SideSettings& settings);

}  // namespace vq
