// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/additive_search.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"

namespace vq {
namespace {

constexpr Index dim = 3;
constexpr Index count = 50;

Matrix gaussian(Index rows, std::uint64_t seed) {
    Matrix m(rows, dim);
    for (Index i = 0; i < m.size(); ++i)
        m.data()[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return m;
}

/// Three codebooks of 8, 4 and 8 words for vectors of 3.
class AdditiveSearchTest : public testing::Test {
protected:
    AdditiveSearchTest() {
        for (const Matrix& words : codebooks_)
            assigners_.emplace_back(words.data(), words.rows(), dim);
        search_ = std::make_unique<AdditiveSearch>(codebooks_, assigners_, bits_);
    }

    double error(const float* x, std::uint64_t code) const {
        Vector sum = Vector::Zero(dim);
        for (std::size_t m = 0; m < bits_.size(); ++m) {
            sum += codebooks_[m].row(static_cast<Index>(code & ((1U << bits_[m]) - 1))).transpose();
            code >>= bits_[m];
        }
        return (Eigen::Map<const Vector>(x, dim) - sum).cast<double>().squaredNorm();
    }
    double least_error(const float* x) const {
        double least = std::numeric_limits<double>::infinity();
        for (std::uint64_t code = 0; code < 256; ++code) least = std::min(least, error(x, code));
        return least;
    }
    std::vector<std::uint64_t> run(int beam, int revisions,
                                   std::vector<std::uint64_t> from = {}) const {
        const bool given = !from.empty();
        from.resize(count);
        search_->run(x_.data(), count, beam, revisions, given, from.data());
        return from;
    }
    double total(const std::vector<std::uint64_t>& codes) const {
        double sum = 0;
        for (Index i = 0; i < count; ++i)
            sum += error(x_.row(i).data(), codes[static_cast<std::size_t>(i)]);
        return sum;
    }

    std::vector<int> bits_ = {3, 2, 3};
    std::vector<Matrix> codebooks_ = {gaussian(8, 1), gaussian(4, 2), gaussian(8, 3)};
    std::vector<Assigner> assigners_;
    std::unique_ptr<AdditiveSearch> search_;
    Matrix x_ = gaussian(count, 4);
};

TEST_F(AdditiveSearchTest, ABeamOfEverySumFindsTheBestOne) {
    const std::vector<std::uint64_t> codes = run(256, 0);
    for (Index i = 0; i < count; ++i)
        EXPECT_NEAR(error(x_.row(i).data(), codes[static_cast<std::size_t>(i)]),
                    least_error(x_.row(i).data()), 1e-5);  // fp32 distances
}

TEST_F(AdditiveSearchTest, WiderBeamsAndRevisionsLowerTheError) {
    const double greedy = total(run(1, 0));
    const double beam = total(run(4, 0));
    const double revised = total(run(4, 3));
    EXPECT_LT(beam, greedy);
    EXPECT_LE(revised, beam);
    EXPECT_LT(total(run(1, 3)), greedy);
}

TEST_F(AdditiveSearchTest, CodesThatAreGivenAreNeverMadeWorse) {
    const std::vector<std::uint64_t> best = run(256, 0);
    const std::vector<std::uint64_t> kept = run(1, 0, best);
    for (std::size_t i = 0; i < kept.size(); ++i)
        EXPECT_LE(error(x_.row(static_cast<Index>(i)).data(), kept[i]),
                  error(x_.row(static_cast<Index>(i)).data(), best[i]) + 1e-6);
}

}  // namespace
}  // namespace vq
