#include "codebooks/residual_code.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/gemm.h"
#include "base/half.h"
#include "base/parallel.h"

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
            at[m] =
                offset + static_cast<Index>((codes[i] >> shift) & ((1ull << stage_bits[m]) - 1));
            shift += stage_bits[m];
            offset += codebooks[m].rows();
        }
        for (const Index p : at) {
            for (const Index q : at) a(p, q) += w;
            for (Index j = 0; j < d; ++j) b(p, j) += w * x[i * d + j];
        }
    }
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

ResidualCode::ResidualCode(std::vector<Matrix> codebooks, int beam)
    : codebooks_(std::move(codebooks)), beam_(beam) {
    VQ_ASSERT(!codebooks_.empty() && beam >= 1);
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
    const Index d = dim_;
    const std::size_t stages = codebooks_.size();
    // The beam: `width` prefixes a vector, best first.
    Index width = 1;
    std::vector<float> residual(x, x + n * d);
    std::vector<std::uint64_t> prefix(static_cast<std::size_t>(n), 0);
    std::vector<float> next_residual;
    std::vector<std::uint64_t> next_prefix;
    std::vector<std::uint32_t> found;
    std::vector<float> distance;
    std::vector<Index> order;
    int shift = 0;
    for (std::size_t m = 0; m < stages; ++m) {
        const bool last = m + 1 == stages;
        const Index k = codebooks_[m].rows();
        Index t = std::min<Index>(beam_, k);
        if (last) t = metric == nullptr ? 1 : std::max<Index>(1, t / width);
        found.resize(static_cast<std::size_t>(n * width * t));
        distance.resize(found.size());
        if (t == 1)
            assigners_[m].nearest(residual.data(), n * width, found.data(), distance.data());
        else
            assigners_[m].nearest_t(residual.data(), n * width, static_cast<int>(t), found.data(),
                                    distance.data());
        const Index candidates = width * t;
        const Index keep = last && metric == nullptr ? 1 : std::min<Index>(beam_, candidates);
        next_residual.resize(static_cast<std::size_t>(n * keep * d));
        next_prefix.resize(static_cast<std::size_t>(n * keep));
        order.resize(static_cast<std::size_t>(candidates));
        for (Index i = 0; i < n; ++i) {
            const float* di = distance.data() + i * candidates;
            std::iota(order.begin(), order.end(), Index{0});
            std::partial_sort(
                order.begin(), order.begin() + keep, order.end(),
                [&](Index a, Index b) { return di[a] < di[b] || (di[a] == di[b] && a < b); });
            for (Index b = 0; b < keep; ++b) {
                const Index from = i * width + order[b] / t;
                const std::uint32_t c = found[i * candidates + order[b]];
                next_prefix[i * keep + b] = prefix[from] | (static_cast<std::uint64_t>(c) << shift);
                const float* r = residual.data() + from * d;
                const float* word = codebooks_[m].data() + static_cast<Index>(c) * d;
                float* out = next_residual.data() + (i * keep + b) * d;
                for (Index j = 0; j < d; ++j) out[j] = r[j] - word[j];
            }
        }
        residual.swap(next_residual);
        prefix.swap(next_prefix);
        width = keep;
        shift += stage_bits_[m];
    }
    for (Index i = 0; i < n; ++i) {
        Index best = 0;
        if (metric != nullptr) {
            float least = 0;
            for (Index b = 0; b < width; ++b) {
                const float* e = residual.data() + (i * width + b) * d;
                float cost = 0;
                for (Index p = 0; p < d; ++p) {
                    float row = 0;
                    for (Index q = 0; q < d; ++q) row += metric[p * d + q] * e[q];
                    cost += e[p] * row;
                }
                if (b == 0 || cost < least) {
                    least = cost;
                    best = b;
                }
            }
        }
        codes[i] = prefix[i * width + best];
    }
    decode(codes, n, xhat);
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
    return std::make_shared<ResidualCode>(std::move(codebooks), beam_);
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
    Index total = 0;
    for (const int b : bits) total += Index{1} << b;
    const bool jointly =
        bits.size() > 1 && total <= joint_codewords_most && training.joint_rounds > 0;
    for (std::size_t m = 0; m < bits.size(); ++m) {
        options.seed = training.seed + m;
        codebooks.push_back(
            train_kmeans(residual.data(), n, d, Index{1} << bits[m], weights, options, nullptr));
        round_codebook(codebooks.back());
        if (m + 1 == bits.size() && !jointly) break;
        const ResidualCode so_far(codebooks, training.beam);
        encode_all(so_far, x, n, codes, xhat);
        residual = Eigen::Map<const Matrix>(x, n, d) - xhat;
    }
    if (!jointly) return std::make_shared<ResidualCode>(std::move(codebooks), training.beam);
    double best = weighted_error(x, xhat, weights);
    std::vector<Matrix> best_codebooks = codebooks;
    for (int round = 0; round < training.joint_rounds; ++round) {
        codebooks = solve_jointly(codebooks, bits, x, n, codes, weights);
        encode_all(ResidualCode(codebooks, training.beam), x, n, codes, xhat);
        const double error = weighted_error(x, xhat, weights);
        if (error < best) best_codebooks = codebooks;
        const bool settled = error > best * (1 - 1e-4);
        best = std::min(best, error);
        if (settled) break;
    }
    return std::make_shared<ResidualCode>(std::move(best_codebooks), training.beam);
}

std::vector<int> split_bits(int bits, int most) {
    VQ_ASSERT(bits >= 1 && most >= 1);
    const int stages = (bits + most - 1) / most;
    std::vector<int> out(static_cast<std::size_t>(stages));
    for (int m = 0; m < stages; ++m) out[m] = bits / stages + (m < bits % stages ? 1 : 0);
    return out;
}

}  // namespace vq
