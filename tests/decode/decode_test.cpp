#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <thread>

#include "base/cpu.h"
#include "decode/vqkit_decode.hpp"
#include "tests/decode/packed_fixture.h"
#include "vq/hadamard.h"

namespace vq {
namespace {

using decode::CodeKind;
using test::PackedCase;
using test::Rotation;
using test::Shape;

const std::vector<std::string>& isas() {
    static const std::vector<std::string> all = [] {
        std::vector<std::string> names = {"scalar"};
        if (detect_isa() >= Isa::avx2) names.emplace_back("avx2");
        if (detect_isa() >= Isa::avx512) names.emplace_back("avx512");
        return names;
    }();
    return all;
}

/// Codes of every kind on awkward shapes; built once.
const std::vector<PackedCase>& cases() {
    static const std::vector<PackedCase> all = [] {
        std::vector<PackedCase> out;
        const std::vector<int> two = {8, 8};
        std::uint64_t seed = 100;
        const auto lut = [&](const Shape& s, int dim, const std::vector<int>& bits) {
            out.push_back(test::residual_case(CodeKind::lut, s, dim, bits, false, seed += 50));
        };
        lut({1, 8}, 8, two);
        lut({3, 136}, 8, two);
        lut({64, 576, Rotation::both}, 8, two);
        lut({321, 264, Rotation::both, true, true}, 8, two);
        lut({577, 250}, 8, {8});
        lut({130, 301, Rotation::in}, 8, {9, 9});
        lut({257, 144}, 8, {10, 8, 9});
        lut({65, 130, Rotation::none, false}, 4, {8});
        lut({70, 96}, 16, {8, 8, 8, 8, 8, 8, 8, 8});
        const auto table = [&](const Shape& s, int dim, const std::vector<int>& bits, bool along) {
            out.push_back(test::residual_case(CodeKind::table, s, dim, bits, along, seed += 50));
        };
        table({1, 1}, 1, {2}, false);
        table({33, 129, Rotation::both}, 8, {6, 6}, false);
        table({17, 1100}, 3, {11}, false);
        table({50, 77, Rotation::none, false, true}, 6, {12}, true);
        table({31, 70, Rotation::in, true, true}, 1, {3}, false);
        const auto trellis = [&](const Shape& s, const test::TrellisCode& code) {
            out.push_back(test::trellis_case(s, code, seed += 50));
        };
        for (int k = 1; k <= 4; ++k) {
            trellis({32, 1}, test::byte_sum_code(k, 32));
            trellis({63, 131, Rotation::both}, test::byte_sum_code(k, 64));
            trellis({200, 257, Rotation::none, false}, test::byte_sum_code(k, 160));
        }
        trellis({300, 258, Rotation::in, false, true}, test::byte_sum_code(2, 320));
        trellis({96, 64}, test::byte_sum_code(3, 96));
        const auto grid = [&](const Shape& s, int bits) {
            out.push_back(test::residual_case(CodeKind::grid, s, 1, {bits}, false, seed += 50));
        };
        for (int bits = 1; bits <= 4; ++bits) {
            grid({1, 1}, bits);
            grid({65, 129}, bits);
            grid({130, 301, Rotation::both, true, true}, bits);
            grid({70, 520, Rotation::none, true, false, 256}, bits);
            grid({64, 130, Rotation::none, true, false, 48}, bits);  // without a kernel
        }
        const auto e8p = [&](const Shape& s, const std::vector<int>& bits) {
            out.push_back(test::e8p_case(s, bits, seed += 50));
        };
        for (const std::vector<int>& bits : E8pCode::stage_choices()) {
            e8p({1, 8}, bits);
            e8p({130, 264, Rotation::both}, bits);
            e8p({65, 1003, Rotation::none, false, true}, bits);
        }
        using Value = decode::TrellisValue;
        const test::TrellisCode two_products = {
            2, 128, Value::two_products, {0x5A2Du, 0x9C35u}, {0x1234u, 0xFEDCu}, 0.0068F};
        for (int zero = 0; zero < 4; ++zero) {
            test::TrellisCode code = two_products;
            for (int i = 0; i < 2; ++i)
                if ((zero >> i & 1) != 0) code.addend[i] = 0;
            trellis({140, 66}, code);
        }
        return out;
    }();
    return all;
}

vqd::File open(const PackedCase& c) {
    return {c.file.data(), c.file.size()};
}

std::vector<float> activations(Index n, std::uint64_t seed) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) x[i] = static_cast<float>(random_normal(seed, i));
    return x;
}

std::vector<float> product(const PackedCase& c, const std::vector<float>& x, vqd_mode mode) {
    const vqd::File file = open(c);
    vqd::Decoder decoder(file);
    std::vector<float> y(static_cast<std::size_t>(c.tensor.rows));
    decoder.matvec(0, x.data(), y.data(), mode);
    return y;
}

/// y = W x and sum |W| |x| a row.
struct Reference {
    VectorD y;
    VectorD size;
};
Reference reference(const PackedCase& c, const std::vector<float>& x) {
    const VectorD v = Eigen::Map<const Vector>(x.data(), c.tensor.cols).cast<double>();
    return {c.weights * v, c.weights.cwiseAbs() * v.cwiseAbs()};
}

TEST(Decode, EveryCodeKnowsItsKindAndBits) {
    for (const PackedCase& c : cases()) {
        const vqd::File file = open(c);
        ASSERT_EQ(file.size(), 1u);
        const vqd_tensor_info info = file.info(0);
        EXPECT_EQ(std::string(info.name, info.name_bytes), "w");
        EXPECT_EQ(info.rows, c.tensor.rows);
        EXPECT_EQ(info.cols, c.tensor.cols);
        EXPECT_EQ(c.name.rfind(info.code, 0), 0u) << c.name;
        std::uint64_t bytes = c.tensor.scales.size() * (c.tensor.scales.size() == 1 ? 4 : 2) +
                              2 * c.tensor.column_scale.size() + 4 * c.tensor.permutation.size();
        for (const PackedSegment& s : c.tensor.segments) bytes += s.codes.size();
        // A tensor of one row with a row scale has one scale of 2 bytes.
        if (c.tensor.scales.size() == 1 && c.tensor.scale_kind == decode::ScaleKind::row)
            bytes -= 2;
        EXPECT_EQ(info.bytes, bytes) << c.name;
        vqd_blob_info blob{};
        ASSERT_NE(file.blob("config.json", blob), nullptr);
        EXPECT_EQ(std::string(static_cast<const char*>(blob.data), blob.bytes),
                  "{\"model_type\": \"none\"}");
    }
}

TEST(Decode, DequantizedRowsAreTheWeights) {
    for (const PackedCase& c : cases()) {
        const vqd::File file = open(c);
        vqd::Decoder decoder(file);
        const Index rows = c.tensor.rows;
        const Index cols = c.tensor.cols;
        const Index from = rows / 3;
        const Index count = std::min<Index>(rows - from, 19);
        Matrix got(count, cols);
        decoder.dequantize_rows(0, from, count, got.data());
        // Sums of `rows` and `cols` terms, in either order of both transforms.
        const double eps = std::numeric_limits<float>::epsilon() *
                           (c.tensor.rotated_in ? std::sqrt(static_cast<double>(rows + cols)) : 4);
        const double largest = c.weights.cwiseAbs().maxCoeff();
        EXPECT_LE((got.cast<double>() - c.weights.middleRows(from, count)).cwiseAbs().maxCoeff(),
                  eps * largest * 4)
            << c.name;
    }
}

TEST(Decode, ExactProductsStayWithinRounding) {
    for (const std::string& isa : isas()) {
        const test::IsaScope scope(isa);
        for (const PackedCase& c : cases()) {
            const std::vector<float> x = activations(c.tensor.cols, 7);
            const std::vector<float> y = product(c, x, VQD_EXACT);
            const Reference want = reference(c, x);
            // n roundings of a sum of n products; the rotations spread the error over all rows.
            const double spread = c.tensor.rotated_out ? want.size.maxCoeff() : 0;
            const double eps =
                std::numeric_limits<float>::epsilon() * static_cast<double>(c.tensor.cols + 64);
            for (Index i = 0; i < c.tensor.rows; ++i)
                EXPECT_NEAR(y[i], want.y(i), eps * std::max(want.size(i), spread))
                    << c.name << " " << isa << " row " << i;
        }
    }
}

/// There is an integer kernel; elsewhere sums are of floats, in the order of the instruction set.
bool integer_sums(const PackedCase& c) {
    return c.name.rfind("table", 0) != 0 && c.tensor.scale_group % 128 == 0;
}

TEST(Decode, IntegerProductsAreTheSameOnEveryInstructionSet) {
    for (const PackedCase& c : cases()) {
        if (!integer_sums(c)) continue;
        const std::vector<float> x = activations(c.tensor.cols, 11);
        std::vector<float> want;
        {
            const test::IsaScope scope("scalar");
            want = product(c, x, VQD_INT8);
        }
        for (const std::string& isa : isas()) {
            const test::IsaScope scope(isa);
            const std::vector<float> y = product(c, x, VQD_INT8);
            for (Index i = 0; i < c.tensor.rows; ++i)
                ASSERT_EQ(y[i], want[i]) << c.name << " " << isa << " row " << i;
        }
    }
}

/// x' = R P D^-1 x, padded.
VectorD transformed(const PackedCase& c, const std::vector<float>& x) {
    const PackedTensor& t = c.tensor;
    Vector v = Eigen::Map<const Vector>(x.data(), t.cols);
    if (!t.column_scale.empty())
        v.array() /= Eigen::Map<const Vector>(t.column_scale.data(), t.cols).array();
    if (!t.permutation.empty()) {
        const Vector before = v;
        for (Index j = 0; j < t.cols; ++j) v(j) = before(t.permutation[j]);
    }
    if (t.rotated_in) RandomHadamard(t.cols, t.seed_in).forward(v.data(), 1, t.cols);
    VectorD out = VectorD::Zero(t.padded_cols);
    out.head(t.cols) = v.cast<double>();
    return out;
}

/// What rounding the values of a grid adds at most, squared, over all rows.
double grid_error(const PackedCase& c, const VectorD& x) {
    if (c.tensor.segments.front().record.code != CodeKind::grid) return 0;
    double largest = 0;
    for (const float v : c.codebooks[0]) largest = std::max(largest, std::abs(double{v}));
    double error = 0;
    const Index groups = static_cast<Index>(c.tensor.scales.size()) / c.tensor.padded_rows;
    for (Index r = 0; r < c.tensor.rows; ++r)
        for (Index j = 0; j < x.size(); ++j) {
            const Index g = c.tensor.scale_group > 0 ? j / c.tensor.scale_group : 0;
            error += std::pow(largest / 127 * c.tensor.scales[r * groups + g] * x(j), 2);
        }
    return error / 12;
}

/// What independent uniform rounding errors (variance step^2 / 12) of tables or activations add up
/// to, squared, over all rows.
double expected_error(const PackedCase& c, const VectorD& x) {
    const decode::SegmentRecord& s = c.tensor.segments.front().record;
    const auto scale = [&](Index r) {
        return static_cast<double>(c.tensor.scales[c.tensor.scales.size() == 1 ? 0 : r]);
    };
    double error = 0;
    if (s.code != CodeKind::lut) {
        for (Index g = 0; g < x.size(); g += 128) {
            const Index n = std::min<Index>(128, x.size() - g);
            const double step = x.segment(g, n).cwiseAbs().maxCoeff() / 127;
            error += c.coded.middleCols(g, n).topRows(c.tensor.rows).squaredNorm() * step * step;
        }
        return error / 12;
    }
    const auto d = static_cast<Index>(s.dim);
    for (Index b = 0; b < x.size(); b += 16 * d) {
        double largest = 0;
        Index lookups = 0;
        for (Index g = b; g < std::min(b + 16 * d, x.size()); g += d)
            for (const auto& words : c.codebooks) {
                const auto entries = static_cast<Index>(words.size()) / d;
                const VectorD dots =
                    Eigen::Map<const Matrix>(words.data(), entries, d).cast<double>() *
                    x.segment(g, d);
                largest = std::max(largest, dots.cwiseAbs().maxCoeff());
                ++lookups;
            }
        for (Index r = 0; r < c.tensor.rows; ++r)
            error += static_cast<double>(lookups) * std::pow(largest / 127 * scale(r), 2);
    }
    return error / 12;
}

TEST(Decode, IntegerProductsErrAsRoundingTo8BitsDoes) {
    for (const PackedCase& c : cases()) {
        if (c.tensor.rows < 32 || !integer_sums(c)) continue;
        const std::vector<float> x = activations(c.tensor.cols, 13);
        const std::vector<float> y = product(c, x, VQD_INT8);
        const Reference want = reference(c, x);
        double error = 0;
        for (Index i = 0; i < c.tensor.rows; ++i) error += std::pow(y[i] - want.y(i), 2);
        const double expected = expected_error(c, transformed(c, x));
        // A sum of at least 32 squares, those of one column's activation all alike.
        const double most = expected + grid_error(c, transformed(c, x));
        EXPECT_LE(error, most * (c.tensor.cols < 16 ? 4 : 1.6)) << c.name;
        if (c.tensor.cols > 16) {
            EXPECT_GE(error, expected * 0.5) << c.name;
        }
    }
}

TEST(Decode, ZeroActivationsGiveZero) {
    for (const PackedCase& c : cases()) {
        const std::vector<float> x(static_cast<std::size_t>(c.tensor.cols), 0.0F);
        for (const float y : product(c, x, VQD_INT8)) ASSERT_EQ(y, 0.0F) << c.name;
    }
}

TEST(Decode, BatchesAreProductsOneByOne) {
    for (const PackedCase& c : cases()) {
        constexpr Index batch = 3;
        const std::vector<float> x = activations(batch * c.tensor.cols, 17);
        const vqd::File file = open(c);
        vqd::Decoder decoder(file);
        std::vector<float> y(static_cast<std::size_t>(batch * c.tensor.rows));
        decoder.matmul(0, x.data(), batch, y.data(), VQD_EXACT);
        for (Index b = 0; b < batch; ++b) {
            const std::vector<float> one(x.begin() + b * c.tensor.cols,
                                         x.begin() + (b + 1) * c.tensor.cols);
            const std::vector<float> want = product(c, one, VQD_EXACT);
            for (Index i = 0; i < c.tensor.rows; ++i)
                ASSERT_EQ(y[b * c.tensor.rows + i], want[i]) << c.name;
        }
    }
}

/// Large batches round weights to 8 bits as well: the same on all instruction sets, and close.
TEST(Decode, LargeIntegerBatchesAgreeAndErrAsRoundingDoes) {
    for (const PackedCase& c : cases()) {
        constexpr Index batch = 45;
        const std::vector<float> x = activations(batch * c.tensor.cols, 29);
        std::vector<std::vector<float>> results;
        for (const std::string& isa : isas()) {
            const test::IsaScope scope(isa);
            const vqd::File file = open(c);
            vqd::Decoder decoder(file);
            results.emplace_back(static_cast<std::size_t>(batch * c.tensor.rows));
            decoder.matmul(0, x.data(), batch, results.back().data());
        }
        for (const auto& result : results) ASSERT_EQ(result, results.front()) << c.name;
        double error = 0;
        double size = 0;
        for (Index b = 0; b < batch; ++b) {
            const std::vector<float> one(x.begin() + b * c.tensor.cols,
                                         x.begin() + (b + 1) * c.tensor.cols);
            const Reference want = reference(c, one);
            for (Index i = 0; i < c.tensor.rows; ++i) {
                error += std::pow(results.front()[b * c.tensor.rows + i] - want.y(i), 2);
                size += want.y(i) * want.y(i);
            }
        }
        // Steps are 1/127 of the largest of up to 128 values: below 4.5 of their deviations, for
        // weights and for activations. A single column has a weight and an activation of 127 steps.
        EXPECT_LE(error, 2 * std::pow(4.5 / 127, 2) / 12 * size) << c.name;
        if (c.tensor.cols > 1) {
            EXPECT_GT(error, 0) << c.name;
        }
    }
}

/// Runs tasks backwards on two threads.
void backwards(void*, std::size_t n, vqd_task task, void* context) {
    const auto half = [&](std::size_t first) {
        for (std::size_t i = first; i < n; i += 2) task(context, n - 1 - i);
    };
    std::thread other(half, 1);
    half(0);
    other.join();
}

TEST(Decode, ThreadsChangeNothing) {
    for (const PackedCase& c : cases()) {
        const std::vector<float> x = activations(c.tensor.cols, 19);
        for (const vqd_mode mode : {VQD_INT8, VQD_EXACT}) {
            const std::vector<float> want = product(c, x, mode);
            const vqd::File file = open(c);
            vqd::Decoder decoder(file, {backwards, nullptr});
            std::vector<float> y(want.size());
            decoder.matvec(0, x.data(), y.data(), mode);
            EXPECT_EQ(y, want) << c.name;
        }
    }
}

TEST(Decode, PointersNeedNoAlignment) {
    for (const PackedCase& c : cases()) {
        const std::vector<float> x = activations(c.tensor.cols, 23);
        const std::vector<float> want = product(c, x, VQD_INT8);
        const vqd::File file = open(c);
        const std::size_t need = vqd_scratch_bytes(file.get(), 0, 1);
        std::vector<std::byte> scratch(need + 3);
        std::vector<float> shifted(x.size() + 1);
        std::copy(x.begin(), x.end(), shifted.begin() + 1);
        std::vector<float> y(want.size() + 1);
        ASSERT_EQ(vqd_matvec(file.get(), 0, VQD_INT8, shifted.data() + 1, y.data() + 1,
                             scratch.data() + 3, need, nullptr),
                  VQD_OK);
        EXPECT_TRUE(std::equal(want.begin(), want.end(), y.begin() + 1)) << c.name;
    }
}

TEST(Decode, BadArgumentsAreRefused) {
    const PackedCase& c = cases().front();
    const vqd::File file = open(c);
    const std::vector<float> x = activations(c.tensor.cols, 1);
    std::vector<float> y(static_cast<std::size_t>(c.tensor.rows));
    std::vector<std::byte> scratch(vqd_scratch_bytes(file.get(), 0, 1));
    const auto run = [&](std::size_t tensor, const float* from, float* to, std::size_t bytes) {
        return vqd_matvec(file.get(), tensor, VQD_INT8, from, to, scratch.data(), bytes, nullptr);
    };
    EXPECT_EQ(run(0, x.data(), y.data(), scratch.size()), VQD_OK);
    EXPECT_EQ(run(1, x.data(), y.data(), scratch.size()), VQD_BAD_ARGUMENT);
    EXPECT_EQ(run(0, nullptr, y.data(), scratch.size()), VQD_BAD_ARGUMENT);
    EXPECT_EQ(run(0, x.data(), nullptr, scratch.size()), VQD_BAD_ARGUMENT);
    EXPECT_EQ(run(0, x.data(), y.data(), scratch.size() / 2), VQD_BAD_ARGUMENT);
    std::vector<std::byte> more(vqd_dequantize_scratch_bytes(file.get(), 0));
    std::vector<float> row(static_cast<std::size_t>(c.tensor.cols));
    EXPECT_EQ(
        vqd_dequantize_rows(file.get(), 0, c.tensor.rows, 1, row.data(), more.data(), more.size()),
        VQD_BAD_ARGUMENT);
    EXPECT_EQ(vqd_dequantize_rows(file.get(), 0, -1, 1, row.data(), more.data(), more.size()),
              VQD_BAD_ARGUMENT);
    std::size_t found = 0;
    EXPECT_EQ(vqd_find(file.get(), "v", &found), VQD_BAD_ARGUMENT);
    EXPECT_EQ(vqd_find(file.get(), "w", &found), VQD_OK);
}

TEST(Decode, TheEnvironmentChoosesTheInstructionSet) {
    std::set<std::string> names;
    for (const std::string& isa : isas()) {
        const test::IsaScope scope(isa);
        const vqd::File file = open(cases().front());
        const std::string name = file.isa();
        if (isa == "avx512")
            EXPECT_EQ(name, has_avx512_vnni() ? "avx512vnni" : "avx2");
        else
            EXPECT_EQ(name, isa);
        names.insert(name);
    }
    EXPECT_GE(names.size(), detect_isa() == Isa::scalar ? 1u : 2u);
    const test::IsaScope scope("sse9");
    vqd_file* file = nullptr;
    char message[128];
    EXPECT_EQ(vqd_open(cases().front().file.data(), cases().front().file.size(), &file, message,
                       sizeof(message)),
              VQD_BAD_ISA);
    EXPECT_NE(std::string(message).find("VQ_ISA=sse9"), std::string::npos);
}

}  // namespace
}  // namespace vq
