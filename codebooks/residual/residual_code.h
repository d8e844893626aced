// SPDX-License-Identifier: Apache-2.0
// Residual and additive vector quantization: xhat = C_1[i_1] + C_2[i_2] + ... + C_M[i_M], each C_m
// a codebook of k_m = 2^b_m codewords. One stage is plain k-means VQ; d = 1 is a scalar grid
// (Lloyd-Max).
//
// Encoding keeps the `beam` best prefixes from stage to stage (beam search as in AQLM 2401.06118
// and in FAISS's ResidualQuantizer). For additive codes the survivors are then revised: each stage
// is chosen again with all others fixed, `revisions` rounds (iterated conditional modes, as in LSQ,
// Martinez et al. 2016). A metric M = L L^T is no special case: e^T M e = |L^T e|^2, so that the
// search is the plain one over x L and C_m L.
#pragma once

#include <span>
#include <vector>

#include "base/codes/code.h"
#include "base/progress.h"
#include "codebooks/assign/assigner.h"
#include "codebooks/assign/kmeans.h"

namespace vq {

class ResidualCode final : public Code {
public:
    /// codebooks[m]: size (2^b_m, d), already rounded to fp16. Stage 1 is in the lowest bits of a
    /// code. beam: 1 .. Assigner::max_t; revisions >= 0.
    ResidualCode(std::vector<Matrix> codebooks, int beam, int revisions = 0);

    int dim() const override { return dim_; }
    int bits() const override { return bits_; }
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                float* xhat) const override;
    /// The present codes are among the candidates: never worse than them under the metric.
    void improve(const float* x, Index n, const float* metric, std::uint64_t* codes,
                 float* xhat) const override;
    void decode(const std::uint64_t* codes, Index n, float* xhat) const override;
    bool valid(const std::uint64_t* code) const override {
        return bits_ == 64 || (*code >> bits_) == 0;
    }
    std::vector<float> parameters() const override;
    void decode_with(const std::vector<float>& p, const std::uint64_t* codes, Index n,
                     float* xhat) const override;
    void add_adjoint(const std::uint64_t* first, const float* g, double* grad) const override;
    std::shared_ptr<const Code> with_parameters(const std::vector<float>& p) const override;
    Json describe() const override;

    const std::vector<Matrix>& codebooks() const { return codebooks_; }
    const std::vector<int>& stage_bits() const override { return stage_bits_; }
    int beam() const { return beam_; }

private:
    void search(const float* x, Index n, const float* metric, bool from_codes,
                std::uint64_t* codes) const;

    std::vector<Matrix> codebooks_;
    std::vector<int> stage_bits_;
    std::vector<Assigner> assigners_;
    int dim_ = 0;
    int bits_ = 0;
    int beam_ = 1;
    int revisions_ = 0;
};

struct ResidualTraining {
    int beam = 16;
    int revisions = 0;
    int kmeans_iterations = 25;
    /// After the stages are trained one after the other: rounds of encoding with the beam and
    /// solving all stages together by least squares.
    int joint_rounds = 0;
    AssignerKind assigner = AssignerKind::own;
    std::uint64_t seed = 0;
    /// Asked before every iteration of k-means whether to stop (Cancelled is thrown); may be null.
    const Progress* progress = nullptr;
};

/// Trains stage after stage on samples x, size (n, d), each stage on what the ones before left.
/// `weights`, size (n) or null, are the samples' weights. Needs n >= 1; finite values (Error).
std::shared_ptr<const ResidualCode> train_residual(const float* x, Index n, Index d,
                                                   std::span<const int> stage_bits,
                                                   const float* weights,
                                                   const ResidualTraining& training);

/// How b bits are cut into stages of at most `most` bits, as equal as possible, larger ones first.
std::vector<int> split_bits(int bits, int most);

}  // namespace vq
