// SPDX-License-Identifier: Apache-2.0
// Assigner against a plain fp64 reference, on every instruction set of this machine.
#include "codebooks/assign/assigner.h"

#include <faiss/IndexFlat.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/blas_check.h"
#include "base/error.h"
#include "base/rng.h"
#include "codebooks/assign/assigner_index.h"

namespace vq {
namespace {

std::vector<Isa> isas() {
    std::vector<Isa> out;
    for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512})
        if (isa <= detect_isa()) out.push_back(isa);
    return out;
}

std::vector<float> gaussian(Index count, std::uint64_t seed) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(random_normal(seed, i));
    return out;
}

/// Coordinates in {-2, ..., 2}: every score is exact, ties are frequent.
std::vector<float> integers(Index count, std::uint64_t seed) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(random_bits(seed, i) % 5) - 2.0F;
    return out;
}

std::vector<float> positive(Index count, std::uint64_t seed) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(2 * random_uniform(seed, i));
    return out;
}

/// fp64 distances of one point to all codewords, and how far two of them, taken from fp32 scores,
/// may be out of order: each score is a chain of 2 d + 1 rounded steps (one more for the rounding
/// of |c|^2 / 2) whose partial sums are at most `magnitude`, and distance = 2 score + constant.
struct Reference {
    std::vector<double> distance;
    double slack = 0;

    Reference(const float* x, const float* w, const std::vector<float>& c, Index d) {
        for (std::size_t i = 0; i < c.size(); i += static_cast<std::size_t>(d)) {
            double sum = 0;
            double magnitude = 0;
            for (Index j = 0; j < d; ++j) {
                const double cj = c[i + static_cast<std::size_t>(j)];
                const double wj = w == nullptr ? 1.0 : w[j];
                sum += wj * (x[j] - cj) * (x[j] - cj);
                magnitude += wj * (cj * cj / 2 + std::abs(x[j] * cj));
            }
            distance.push_back(sum);
            const double rounding = std::numeric_limits<float>::epsilon() / 2;
            slack = std::max(slack, 2 * 2 * static_cast<double>(2 * d + 2) * rounding * magnitude);
        }
    }
    double best() const { return *std::min_element(distance.begin(), distance.end()); }
};

struct Shape {
    Index n, k, d;
};

std::vector<Shape> awkward_shapes() {
    std::vector<Shape> out;
    for (const Index k : {1, 2, 15, 16, 17, 31, 32, 33, 256, 1000})
        for (Index d = 1; d <= 17; ++d) out.push_back({17, k, d});
    for (const Index n : {0, 1, 3, 6, 7, 47, 48, 49, 97}) out.push_back({n, 33, 5});
    out.push_back({7, 1100, 3});  // nearest_t: an odd number of blocks, tested in groups
    out.push_back({7, 5000, 6});  // nearest_t: past the blocks scored first
    out.push_back({5, 300, 64});  // the largest dimension
    return out;
}

void expect_direct_distance(float got, double want, Index d) {
    // A direct sum of d rounded squares: relative error at most (d + 3) epsilon.
    const double bound = static_cast<double>(d + 3) * std::numeric_limits<float>::epsilon() * want;
    EXPECT_NEAR(got, want, bound + std::numeric_limits<float>::min());
}

class AssignerOnEveryIsa : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(, AssignerOnEveryIsa, testing::ValuesIn(isas()),
                         [](const auto& info) { return isa_name(info.param); });

TEST_P(AssignerOnEveryIsa, NearestIsTheReferenceNearestUpToRounding) {
    for (const Shape s : awkward_shapes()) {
        const auto x = gaussian(s.n * s.d, 1);
        const auto c = gaussian(s.k * s.d, 2);
        const Assigner assigner(c.data(), s.k, s.d, GetParam());
        std::vector<std::uint32_t> code(static_cast<std::size_t>(s.n), 0xDEADU);
        std::vector<float> distance(code.size());
        assigner.nearest(x.data(), s.n, code.data(), distance.data());
        for (Index i = 0; i < s.n; ++i) {
            const Reference want(x.data() + i * s.d, nullptr, c, s.d);
            ASSERT_LT(code[i], static_cast<std::uint32_t>(s.k));
            EXPECT_LE(want.distance[code[i]], want.best() + want.slack)
                << "n " << s.n << " k " << s.k << " d " << s.d << " point " << i;
            expect_direct_distance(distance[i], want.distance[code[i]], s.d);
        }
    }
}

TEST_P(AssignerOnEveryIsa, WeightedNearestIsTheReferenceNearestUpToRounding) {
    for (const Shape s : awkward_shapes()) {
        const auto x = gaussian(s.n * s.d, 3);
        const auto w = positive(s.n * s.d, 4);
        const auto c = gaussian(s.k * s.d, 5);
        const Assigner assigner(c.data(), s.k, s.d, GetParam());
        std::vector<std::uint32_t> code(static_cast<std::size_t>(s.n), 0xDEADU);
        std::vector<float> distance(code.size());
        assigner.nearest_weighted(x.data(), w.data(), s.n, code.data(), distance.data());
        for (Index i = 0; i < s.n; ++i) {
            const Reference want(x.data() + i * s.d, w.data() + i * s.d, c, s.d);
            ASSERT_LT(code[i], static_cast<std::uint32_t>(s.k));
            EXPECT_LE(want.distance[code[i]], want.best() + want.slack)
                << "n " << s.n << " k " << s.k << " d " << s.d << " point " << i;
            expect_direct_distance(distance[i], want.distance[code[i]], s.d);
        }
    }
}

TEST_P(AssignerOnEveryIsa, NearestTAscendsAndHoldsTheReferenceNearest) {
    for (const Shape s : awkward_shapes()) {
        const auto x = gaussian(s.n * s.d, 6);
        const auto w = positive(s.n * s.d, 7);
        const auto c = gaussian(s.k * s.d, 8);
        const Assigner assigner(c.data(), s.k, s.d, GetParam());
        for (const int t : {1, 2, 5, 16, 17, 33, 64}) {
            if (t > s.k) continue;
            for (const float* weights : {static_cast<const float*>(nullptr), w.data()}) {
                std::vector<std::uint32_t> codes(static_cast<std::size_t>(s.n * t), 0xDEADU);
                std::vector<float> distances(codes.size());
                assigner.nearest_t_weighted(x.data(), weights, s.n, t, codes.data(),
                                            distances.data());
                std::vector<std::uint32_t> nearest(static_cast<std::size_t>(s.n));
                assigner.nearest_weighted(x.data(), weights, s.n, nearest.data(), nullptr);
                for (Index i = 0; i < s.n; ++i) {
                    const Reference want(x.data() + i * s.d,
                                         weights == nullptr ? nullptr : weights + i * s.d, c, s.d);
                    auto sorted = want.distance;
                    std::sort(sorted.begin(), sorted.end());
                    const auto* row = codes.data() + i * t;
                    EXPECT_EQ(row[0], nearest[i]);
                    for (int r = 0; r < t; ++r) {
                        ASSERT_LT(row[r], static_cast<std::uint32_t>(s.k));
                        EXPECT_EQ(std::count(row, row + t, row[r]), 1) << "a code came twice";
                        EXPECT_NEAR(want.distance[row[r]], sorted[static_cast<std::size_t>(r)],
                                    want.slack)
                            << "k " << s.k << " d " << s.d << " t " << t << " rank " << r;
                        if (r > 0) {
                            EXPECT_GE(distances[i * t + r], distances[i * t + r - 1]);
                        }
                    }
                }
            }
        }
    }
}

TEST_P(AssignerOnEveryIsa, EqualDistancesGoToTheLowestIndex) {
    for (const Index k : {3, 40, 700, 5000}) {
        for (const Index d : {1, 2, 3}) {
            const Index n = 29;
            const auto x = integers(n * d, 9);
            const auto w = integers(n * d, 10);
            std::vector<float> weights;
            weights.reserve(w.size());
            for (const float v : w) weights.push_back(v + 2);  // 0..4
            const auto c = integers(k * d, 11);
            const Assigner assigner(c.data(), k, d, GetParam());
            const int t = static_cast<int>(std::min<Index>(k, 20));
            for (const float* use :
                 {static_cast<const float*>(nullptr), static_cast<const float*>(weights.data())}) {
                std::vector<std::uint32_t> code(static_cast<std::size_t>(n));
                std::vector<std::uint32_t> codes(static_cast<std::size_t>(n * t));
                assigner.nearest_weighted(x.data(), use, n, code.data(), nullptr);
                assigner.nearest_t_weighted(x.data(), use, n, t, codes.data(), nullptr);
                for (Index i = 0; i < n; ++i) {
                    const Reference want(x.data() + i * d, use == nullptr ? nullptr : use + i * d,
                                         c, d);
                    std::vector<std::uint32_t> order(static_cast<std::size_t>(k));
                    for (std::size_t r = 0; r < order.size(); ++r)
                        order[r] = static_cast<std::uint32_t>(r);
                    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
                        return want.distance[a] < want.distance[b];
                    });
                    EXPECT_EQ(code[i], order[0]);
                    for (int r = 0; r < t; ++r)
                        EXPECT_EQ(codes[i * t + r], order[static_cast<std::size_t>(r)])
                            << "k " << k << " d " << d << " rank " << r;
                }
            }
        }
    }
}

TEST_P(AssignerOnEveryIsa, AllCodewordsEqualGivesTheFirstOnes) {
    const Index k = 9000;
    const Index d = 4;
    const std::vector<float> c(static_cast<std::size_t>(k * d), 1.5F);
    const std::vector<float> x(static_cast<std::size_t>(3 * d), 0.5F);
    const Assigner assigner(c.data(), k, d, GetParam());
    std::vector<std::uint32_t> codes(3 * 64);
    assigner.nearest_t(x.data(), 3, 64, codes.data(), nullptr);
    for (std::uint32_t i = 0; i < codes.size(); ++i) EXPECT_EQ(codes[i], i % 64);
}

TEST_P(AssignerOnEveryIsa, ResultsDoNotDependOnTheBatch) {
    const Index n = 200;
    const Index k = 777;
    const Index d = 7;
    const auto x = gaussian(n * d, 12);
    const Assigner assigner(gaussian(k * d, 13).data(), k, d, GetParam());
    std::vector<std::uint32_t> whole(static_cast<std::size_t>(n));
    std::vector<float> distance(whole.size());
    std::vector<std::uint32_t> whole_t(static_cast<std::size_t>(n * 9));
    assigner.nearest(x.data(), n, whole.data(), distance.data());
    assigner.nearest_t(x.data(), n, 9, whole_t.data(), nullptr);
    for (const Index batch : {1, 5, 64}) {
        for (Index i = 0; i < n; i += batch) {
            const Index count = std::min(batch, n - i);
            std::vector<std::uint32_t> part(static_cast<std::size_t>(count));
            std::vector<float> part_distance(part.size());
            std::vector<std::uint32_t> part_t(static_cast<std::size_t>(count * 9));
            assigner.nearest(x.data() + i * d, count, part.data(), part_distance.data());
            assigner.nearest_t(x.data() + i * d, count, 9, part_t.data(), nullptr);
            EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + i));
            EXPECT_TRUE(
                std::equal(part_distance.begin(), part_distance.end(), distance.begin() + i));
            EXPECT_TRUE(std::equal(part_t.begin(), part_t.end(), whole_t.begin() + i * 9));
        }
    }
}

TEST_P(AssignerOnEveryIsa, PointsThatAreNotFiniteGetValidCodes) {
    const Index k = 100;
    const Index d = 3;
    const Assigner assigner(gaussian(k * d, 14).data(), k, d, GetParam());
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    const std::vector<float> x = {nan, 0, 0, inf, 1, 1, -inf, inf, 0, 3e38F, 3e38F, -3e38F};
    std::vector<std::uint32_t> code(4, 0xDEADU);
    std::vector<std::uint32_t> codes(4 * 20, 0xDEADU);
    assigner.nearest(x.data(), 4, code.data(), nullptr);
    assigner.nearest_t(x.data(), 4, 20, codes.data(), nullptr);
    for (const std::uint32_t c : code) EXPECT_LT(c, 100U);
    for (const std::uint32_t c : codes) EXPECT_LT(c, 100U);
}

TEST(Assigner, VectorKernelsAgreeBitForBit) {
    if (detect_isa() < Isa::avx512) return;  // one vector kernel only: nothing to compare
    for (const Shape s : {Shape{1000, 500, 8}, Shape{300, 5000, 6}, Shape{301, 33, 13}}) {
        // A coarse grid makes near-ties common.
        auto x = gaussian(s.n * s.d, 15);
        auto c = gaussian(s.k * s.d, 16);
        for (auto* values : {&x, &c})
            for (float& v : *values) v = std::round(v * 8) / 8 * 1.1F;
        const auto w = positive(s.n * s.d, 17);
        const Assigner narrow(c.data(), s.k, s.d, Isa::avx2);
        const Assigner wide(c.data(), s.k, s.d, Isa::avx512);
        for (const float* use :
             {static_cast<const float*>(nullptr), static_cast<const float*>(w.data())}) {
            std::vector<std::uint32_t> a(static_cast<std::size_t>(s.n));
            std::vector<std::uint32_t> b(a.size());
            narrow.nearest_weighted(x.data(), use, s.n, a.data(), nullptr);
            wide.nearest_weighted(x.data(), use, s.n, b.data(), nullptr);
            EXPECT_EQ(a, b);
            a.resize(a.size() * 24);
            b.resize(a.size());
            narrow.nearest_t_weighted(x.data(), use, s.n, 24, a.data(), nullptr);
            wide.nearest_t_weighted(x.data(), use, s.n, 24, b.data(), nullptr);
            EXPECT_EQ(a, b);
        }
    }
}

TEST(Assigner, ParallelAssignmentEqualsTheSerialOneAtAnyThreadCount) {
    const Index n = 5000;
    const Index d = 5;
    const auto x = gaussian(n * d, 18);
    const Assigner assigner(gaussian(100 * d, 19).data(), 100, d);
    std::vector<std::uint32_t> serial(static_cast<std::size_t>(n));
    std::vector<float> serial_distance(serial.size());
    assigner.nearest(x.data(), n, serial.data(), serial_distance.data());
    const int before = omp_get_max_threads();
    for (const int threads : {1, 2, 3}) {
        omp_set_num_threads(threads);
        std::vector<std::uint32_t> codes(serial.size());
        std::vector<float> distances(serial.size());
        assign_all(assigner, x.data(), n, codes.data(), distances.data());
        EXPECT_EQ(codes, serial);
        EXPECT_EQ(distances, serial_distance);
    }
    omp_set_num_threads(before);
}

TEST(Assigner, RefusesShapesItWasNotBuiltFor) {
    const std::vector<float> c(200, 0.0F);
    EXPECT_THROW(Assigner(c.data(), 0, 4), InternalError);
    EXPECT_THROW(Assigner(c.data(), 1, 65), InternalError);
    const Assigner assigner(c.data(), 4, 4);
    std::uint32_t code = 0;
    EXPECT_THROW(assigner.nearest_t(c.data(), 1, 5, &code, nullptr), InternalError);
    EXPECT_THROW(assigner.nearest_t(c.data(), 1, 0, &code, nullptr), InternalError);
}

TEST(AssignerIndex, AgreesWithFaissUpToRounding) {
    for (const Shape s : {Shape{2000, 256, 8}, Shape{500, 3000, 6}}) {
        const auto x = gaussian(s.n * s.d, 20);
        const auto c = gaussian(s.k * s.d, 21);
        const auto own = make_assigner_index(AssignerKind::own, s.d);
        const auto flat = make_assigner_index(AssignerKind::faiss, s.d);
        for (auto* index : {own.get(), flat.get()}) index->add(s.k, c.data());
        EXPECT_EQ(own->ntotal, s.k);
        for (const Index t : {1, 7}) {
            std::vector<faiss::Index::idx_t> a(static_cast<std::size_t>(s.n * t));
            std::vector<faiss::Index::idx_t> b(a.size());
            std::vector<float> da(a.size());
            std::vector<float> db(a.size());
            own->search(s.n, x.data(), t, da.data(), a.data());
            flat->search(s.n, x.data(), t, db.data(), b.data());
            Index differing = 0;
            for (Index i = 0; i < s.n; ++i) {
                const Reference want(x.data() + i * s.d, nullptr, c, s.d);
                double norm = 0;
                for (Index j = 0; j < s.d; ++j)
                    norm += static_cast<double>(x[i * s.d + j]) * x[i * s.d + j];
                // FAISS adds |x|^2 before it compares, which rounds once more.
                const double slack =
                    2 * want.slack + 4 * std::numeric_limits<float>::epsilon() * norm;
                for (Index r = i * t; r < (i + 1) * t; ++r) {
                    EXPECT_NEAR(want.distance[a[r]], want.distance[b[r]], slack);
                    differing += a[r] != b[r] ? 1 : 0;
                }
            }
            EXPECT_LE(differing, s.n * t / 1000);
        }
    }
}

TEST(AssignerIndex, PadsMissingNeighboursAsFaissDoes) {
    AssignerIndex index(2);
    const std::vector<float> c = {0, 0, 1, 1};
    const std::vector<float> x = {0.9F, 0.9F};
    std::vector<float> distance(3);
    std::vector<faiss::Index::idx_t> label(3);
    index.search(1, x.data(), 3, distance.data(), label.data());
    EXPECT_EQ(label, (std::vector<faiss::Index::idx_t>{-1, -1, -1}));
    index.add(2, c.data());
    index.search(1, x.data(), 3, distance.data(), label.data());
    EXPECT_EQ(label, (std::vector<faiss::Index::idx_t>{1, 0, -1}));
    EXPECT_TRUE(std::isinf(distance[2]));
    std::vector<float> back(2);
    index.reconstruct(1, back.data());
    EXPECT_EQ(back, (std::vector<float>{1, 1}));
    index.reset();
    EXPECT_EQ(index.ntotal, 0);
}

TEST(BlasCheck, WarnsOfReferenceBlasOnly) {
    EXPECT_FALSE(describe_blas("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3", "").warning.empty());
    EXPECT_FALSE(describe_blas("", "").warning.empty());
    EXPECT_TRUE(describe_blas("libx.so", "OpenBLAS 0.3.21").warning.empty());
    EXPECT_TRUE(describe_blas("/opt/libmkl_rt.so.2", "").warning.empty());
}

TEST(BlasCheck, FindsTheBlasOfThisProcess) {
    EXPECT_FALSE(blas_report().library.empty());
}

}  // namespace
}  // namespace vq
