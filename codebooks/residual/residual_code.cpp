// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/residual_code.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/gemm.h"
#include "base/half.h"
#include "base/parallel.h"
#include "codebooks/residual/additive_search.h"

namespace vq {

namespace {

/// Rows of a training set that are encoded at a time; fixed, so that results are.
constexpr Index encode_batch = 64;
/// Above this many codewords in all stages the joint normal matrix is not worth its memory.
constexpr Index joint_codewords_most = 8192;

void round_codebook(Matrix& c) {
    for (Index i = 0; i < c.size(); ++i) c.data()[i] = round_to_half(c.data()[i]);
}

void encode_all(const Code& code, const float* x, Index n, std::vector<std::uint64_t>& codes,
                Matrix& xhat) {
    const Index d = code.dim();
    codes.resize(static_cast<std::size_t>(n));
    xhat.resize(n, d);
    parallel_for((n + encode_batch - 1) / encode_batch, [&](Index b) {
        const Index i = b * encode_batch;
        code.encode(x + i * d, std::min(encode_batch, n - i), nullptr, codes.data() + i,
                    xhat.data() + i * d);
    });
}

/// Weighted mean squared error, summed in a fixed order.
double weighted_error(const float* x, const Matrix& xhat, const float* weights) {
    double sum = 0;
    for (Index i = 0; i < xhat.rows(); ++i) {
        double e = 0;
        for (Index j = 0; j < xhat.cols(); ++j) {
            const double diff = static_cast<double>(x[i * xhat.cols() + j]) - xhat(i, j);
            e += diff * diff;
        }
        sum += weights != nullptr ? weights[i] * e : e;
    }
    return sum;
}

/// All stages at once by least squares with codes fixed. The normal matrix counts how often two
/// codewords meet; a small pull towards the present codebooks fixes what the data leave open
/// (a constant moved from one stage to another, codewords never used).
std::vector<Matrix> solve_jointly(const std::vector<Matrix>& codebooks,
                                  const std::vector<int>& stage_bits, const float* x, Index n,
                                  const std::vector<std::uint64_t>& codes, const float* weights) {
    const Index d = codebooks.front().cols();
    Index total = 0;
    for (const Matrix& c : codebooks) total += c.rows();
    MatrixD a = MatrixD::Zero(total, total);
    MatrixD b = MatrixD::Zero(total, d);
    std::vector<Index> at(codebooks.size());
    for (Index i = 0; i < n; ++i) {
        const double w = weights != nullptr ? weights[i] : 1.0;
        Index offset = 0;
        int shift = 0;
        for (std::size_t m = 0; m < codebooks.size(); ++m) {
            at[m] = offset +
                    static_cast<Index>((codes.data()[i] >> shift) & ((1ull << stage_bits[m]) - 1));
            shift += stage_bits[m];
            offset += codebooks[m].rows();
        }
        for (const Index p : at) {
            for (const Index q : at) a(p, q) += w;
            for (Index j = 0; j < d; ++j) b(p, j) += w * x[i * d + j];
        }
    }
    // The last term is for weights that are all zero: the matrix can still be factored.
    const double pull = 1e-4 * a.diagonal().mean() + 1e-300;
    a.diagonal().array() += pull;
    Index offset = 0;
    for (const Matrix& c : codebooks) {
        b.middleRows(offset, c.rows()) += pull * c.cast<double>();
        offset += c.rows();
    }
    VQ_ASSERT(cholesky_lower(a));
    a.triangularView<Eigen::Lower>().solveInPlace(b);
    a.triangularView<Eigen::Lower>().transpose().solveInPlace(b);
    std::vector<Matrix> out;
    offset = 0;
    for (const Matrix& c : codebooks) {
        out.emplace_back(b.middleRows(offset, c.rows()).cast<float>());
        round_codebook(out.back());
        offset += c.rows();
    }
    return out;
}

}  // namespace

ResidualCode::ResidualCode(std::vector<Matrix> codebooks, int beam, int revisions)
    : codebooks_(std::move(codebooks)), beam_(beam), revisions_(revisions) {
    VQ_ASSERT(!codebooks_.empty() && beam >= 1 && revisions >= 0);
    dim_ = static_cast<int>(codebooks_.front().cols());
    for (const Matrix& c : codebooks_) {
        VQ_ASSERT(c.cols() == dim_);
        int b = 0;
        while ((Index{1} << b) < c.rows()) ++b;
        VQ_ASSERT((Index{1} << b) == c.rows() && b >= 1);
        stage_bits_.push_back(b);
        bits_ += b;
        assigners_.emplace_back(c.data(), c.rows(), c.cols());
    }
    VQ_ASSERT(bits_ <= 64);
}

void ResidualCode::encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                          float* xhat) const {
    search(x, n, metric, false, codes);
    decode(codes, n, xhat);
}

void ResidualCode::improve(const float* x, Index n, const float* metric, std::uint64_t* codes,
                           float* xhat) const {
    search(x, n, metric, true, codes);
    decode(codes, n, xhat);
}

void ResidualCode::search(const float* x, Index n, const float* metric, bool from_codes,
                          std::uint64_t* codes) const {
    if (metric == nullptr) {
        AdditiveSearch(codebooks_, assigners_, stage_bits_)
            .run(x, n, beam_, revisions_, from_codes, codes);
        return;
    }
    // x L and C_m L. The factor exists up to rounding; what little is added keeps it so.
    MatrixD m = Eigen::Map<const Matrix>(metric, dim_, dim_).cast<double>();
    m.diagonal().array() += 1e-7 * m.diagonal().mean();
    const Eigen::LLT<MatrixD> factor(m);
    VQ_ASSERT(factor.info() == Eigen::Success);
    const Matrix l = MatrixD(factor.matrixL()).cast<float>();
    std::vector<Matrix> codebooks;
    std::vector<Assigner> assigners;
    codebooks.reserve(codebooks_.size());
    assigners.reserve(codebooks_.size());
    for (const Matrix& c : codebooks_) {
        codebooks.emplace_back(c.lazyProduct(l));
        assigners.emplace_back(codebooks.back().data(), c.rows(), c.cols());
    }
    const Matrix seen = Eigen::Map<const Matrix>(x, n, dim_).lazyProduct(l);
    AdditiveSearch(codebooks, assigners, stage_bits_)
        .run(seen.data(), n, beam_, revisions_, from_codes, codes);
}

void ResidualCode::decode(const std::uint64_t* codes, Index n, float* xhat) const {
    for (Index i = 0; i < n; ++i) {
        float* out = xhat + i * dim_;
        std::uint64_t rest = codes[i];
        for (std::size_t m = 0; m < codebooks_.size(); ++m) {
            const auto c = static_cast<Index>(rest & ((1ull << stage_bits_[m]) - 1));
            rest >>= stage_bits_[m];
            const float* word = codebooks_[m].data() + c * dim_;
            for (int j = 0; j < dim_; ++j) out[j] = m == 0 ? word[j] : out[j] + word[j];
        }
    }
}

std::vector<float> ResidualCode::parameters() const {
    std::vector<float> p;
    for (const Matrix& c : codebooks_) p.insert(p.end(), c.data(), c.data() + c.size());
    return p;
}

void ResidualCode::decode_with(const std::vector<float>& p, const std::uint64_t* codes, Index n,
                               float* xhat) const {
    for (Index i = 0; i < n; ++i) {
        float* out = xhat + i * dim_;
        std::fill_n(out, dim_, 0.0F);
        std::uint64_t rest = codes[i];
        Index offset = 0;
        for (std::size_t m = 0; m < codebooks_.size(); ++m) {
            const auto c = static_cast<Index>(rest & ((1ull << stage_bits_[m]) - 1));
            rest >>= stage_bits_[m];
            const float* word = p.data() + (offset + c) * dim_;
            for (int j = 0; j < dim_; ++j) out[j] += word[j];
            offset += codebooks_[m].rows();
        }
    }
}

void ResidualCode::add_adjoint(const std::uint64_t* first, const float* g, double* grad) const {
    std::uint64_t code = *first;
    Index offset = 0;
    for (std::size_t m = 0; m < codebooks_.size(); ++m) {
        const auto c = static_cast<Index>(code & ((1ull << stage_bits_[m]) - 1));
        code >>= stage_bits_[m];
        double* out = grad + (offset + c) * dim_;
        for (int j = 0; j < dim_; ++j) out[j] += static_cast<double>(g[j]);
        offset += codebooks_[m].rows();
    }
}

std::shared_ptr<const Code> ResidualCode::with_parameters(const std::vector<float>& p) const {
    std::vector<Matrix> codebooks = codebooks_;
    std::size_t at = 0;
    for (Matrix& c : codebooks)
        for (Index i = 0; i < c.size(); ++i) c.data()[i] = round_to_half(p[at++]);
    VQ_ASSERT(at == p.size());
    return std::make_shared<ResidualCode>(std::move(codebooks), beam_, revisions_);
}

Json ResidualCode::describe() const {
    return {{"code", "residual"}, {"dim", dim_}, {"stage_bits", stage_bits_}};
}

std::shared_ptr<const ResidualCode> train_residual(const float* x, Index n, Index d,
                                                   std::span<const int> stage_bits,
                                                   const float* weights,
                                                   const ResidualTraining& training) {
    VQ_ASSERT(n >= 1 && d >= 1 && !stage_bits.empty());
    std::vector<Matrix> codebooks;
    std::vector<int> bits(stage_bits.begin(), stage_bits.end());
    Matrix residual = Eigen::Map<const Matrix>(x, n, d);
    std::vector<std::uint64_t> codes;
    Matrix xhat;
    KMeansOptions options;
    options.iterations = training.kmeans_iterations;
    options.assigner = training.assigner;
    options.progress = training.progress;
    Index total = 0;
    for (const int b : bits) total += Index{1} << b;
    const bool jointly =
        bits.size() > 1 && total <= joint_codewords_most && training.joint_rounds > 0;
    for (std::size_t m = 0; m < bits.size(); ++m) {
        // With one seed all stages would begin at the same samples.
        options.seed = training.seed + m;
        codebooks.push_back(
            train_kmeans(residual.data(), n, d, Index{1} << bits[m], weights, options, nullptr));
        // Rounded as it will be stored, so that the next stage is trained on what it has to make
        // good for.
        round_codebook(codebooks.back());
        // Codes of the last stage are of use to the joint rounds alone, and encoding is the dear
        // part.
        if (m + 1 == bits.size() && !jointly) break;
        const ResidualCode so_far(codebooks, training.beam, training.revisions);
        encode_all(so_far, x, n, codes, xhat);
        residual = Eigen::Map<const Matrix>(x, n, d) - xhat;
    }
    if (!jointly)
        return std::make_shared<ResidualCode>(std::move(codebooks), training.beam,
                                              training.revisions);
    double best = weighted_error(x, xhat, weights);
    std::vector<Matrix> best_codebooks = codebooks;
    for (int round = 0; round < training.joint_rounds; ++round) {
        codebooks = solve_jointly(codebooks, bits, x, n, codes, weights);
        encode_all(ResidualCode(codebooks, training.beam, training.revisions), x, n, codes, xhat);
        const double error = weighted_error(x, xhat, weights);
        // A round can lose: the search is not exhaustive, and what is solved is rounded to fp16.
        if (error < best) best_codebooks = codebooks;
        const bool settled = error > best * (1 - 1e-4);
        best = std::min(best, error);
        if (settled) break;
    }
    return std::make_shared<ResidualCode>(std::move(best_codebooks), training.beam,
                                          training.revisions);
}

std::vector<int> split_bits(int bits, int most) {
    VQ_ASSERT(bits >= 1 && most >= 1);
    const int stages = (bits + most - 1) / most;
    std::vector<int> out(static_cast<std::size_t>(stages));
    for (int m = 0; m < stages; ++m) out.data()[m] = bits / stages + (m < bits % stages ? 1 : 0);
    return out;
}

}  // namespace vq
