// Residual vector quantization: xhat = C_1[i_1] + C_2[i_2] + ... + C_M[i_M], each C_m a codebook of
// k_m = 2^b_m codewords. One stage is plain k-means VQ; d = 1 is a scalar grid (Lloyd-Max).
// Encoding keeps the `beam` best prefixes from stage to stage (beam search as in AQLM and in
// FAISS's ResidualQuantizer); under a metric M, the `beam` final candidates are compared in M.
#pragma once

#include <span>
#include <vector>

#include "codebooks/assigner.h"
#include "codebooks/code.h"
#include "codebooks/kmeans.h"

namespace vq {

class ResidualCode final : public Code {
public:
    /// codebooks[m]: size (2^b_m, d), already rounded to fp16. Stage 1 is in the lowest bits of a
    /// code.
    ResidualCode(std::vector<Matrix> codebooks, int beam);

    int dim() const override { return dim_; }
    int bits() const override { return bits_; }
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
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
    const std::vector<int>& stage_bits() const { return stage_bits_; }
    int beam() const { return beam_; }

private:
    std::vector<Matrix> codebooks_;
    std::vector<int> stage_bits_;
    std::vector<Assigner> assigners_;
    int dim_ = 0;
    int bits_ = 0;
    int beam_ = 1;
};

struct ResidualTraining {
    int beam = 16;
    int kmeans_iterations = 25;
    /// After the stages are trained one after the other: rounds of encoding with the beam and
    /// solving all stages together by least squares.
    int joint_rounds = 0;
    AssignerKind assigner = AssignerKind::own;
    std::uint64_t seed = 0;
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
