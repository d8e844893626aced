// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <thread>

#include "base/cpu.h"
#include "decode/codes.h"
#include "tests/decode/packed_cases.h"

namespace vq {
namespace {

using test::PackedCase;
using test::Reference;

TEST(Decode, EveryCodeIsTestedAndNoTwoAreAlike) {
    std::set<decode::CodeKind> kinds;
    std::set<std::string> names;
    for (const decode::PackedCode* code : decode::packed_codes()) {
        EXPECT_EQ(decode::find_code(code->kind), code);
        EXPECT_TRUE(kinds.insert(code->kind).second) << code->name;
        EXPECT_TRUE(names.insert(code->name).second) << code->name;
        const auto all = test::code_cases();
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const test::CodeCases* c) { return c->code == code; });
        ASSERT_NE(found, all.end()) << code->name;
        for (const auto make : {(*found)->awkward, (*found)->small}) {
            const std::vector<PackedCase> cases = make();
            EXPECT_FALSE(cases.empty()) << code->name;
            for (const PackedCase& c : cases)
                EXPECT_EQ(c.tensor.segments.front().record.code, code->kind) << c.name;
        }
    }
    EXPECT_EQ(test::code_cases().size(), names.size());
}

TEST(Decode, EveryCodeKnowsItsKindAndBits) {
    for (const PackedCase& c : test::cases()) {
        const vqd::File file = test::open(c);
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
    for (const PackedCase& c : test::cases()) {
        const vqd::File file = test::open(c);
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
    for (const std::string& isa : test::isas()) {
        const test::IsaScope scope(isa);
        for (const PackedCase& c : test::cases()) {
            const std::vector<float> x = test::activations(c.tensor.cols, 7);
            const std::vector<float> y = test::product(c, x, VQD_EXACT);
            const Reference want = test::reference(c, x);
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

TEST(Decode, BatchesAreProductsOneByOne) {
    for (const PackedCase& c : test::cases()) {
        constexpr Index batch = 3;
        const std::vector<float> x = test::activations(batch * c.tensor.cols, 17);
        const vqd::File file = test::open(c);
        vqd::Decoder decoder(file);
        std::vector<float> y(static_cast<std::size_t>(batch * c.tensor.rows));
        decoder.matmul(0, x.data(), batch, y.data(), VQD_EXACT);
        for (Index b = 0; b < batch; ++b) {
            const std::vector<float> one(x.begin() + b * c.tensor.cols,
                                         x.begin() + (b + 1) * c.tensor.cols);
            const std::vector<float> want = test::product(c, one, VQD_EXACT);
            for (Index i = 0; i < c.tensor.rows; ++i)
                ASSERT_EQ(y[b * c.tensor.rows + i], want[i]) << c.name;
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
    for (const PackedCase& c : test::cases()) {
        const std::vector<float> x = test::activations(c.tensor.cols, 19);
        for (const vqd_mode mode : {VQD_INT8, VQD_EXACT}) {
            const std::vector<float> want = test::product(c, x, mode);
            const vqd::File file = test::open(c);
            vqd::Decoder decoder(file, {backwards, nullptr});
            std::vector<float> y(want.size());
            decoder.matvec(0, x.data(), y.data(), mode);
            EXPECT_EQ(y, want) << c.name;
        }
    }
}

/// A file of tensors with 264 columns: one of lookup tables with rotations, and twelve others.
PackedBuffer several_tensors() {
    PackedBuffer buffer;
    PackedWriter writer(buffer.sink());
    int count = 0;
    for (const PackedCase& c : test::cases()) {
        if (c.tensor.cols != 264) continue;
        for (const auto& words : c.codebooks)  // of the first alone: indices stay
            writer.add_codebook(words.data(), static_cast<Index>(words.size()) / 8, 8);
        for (int copy = 0; copy < (c.codebooks.empty() ? 4 : 1); ++copy) {
            PackedTensor t = c.tensor;
            t.name = "w" + std::to_string(count++);
            writer.add_tensor(t);
        }
    }
    writer.finish();
    return buffer;
}

TEST(Decode, SeveralTensorsTogetherGiveWhatEachGives) {
    const PackedBuffer buffer = several_tensors();
    const vqd::File file(buffer.data(), buffer.size());
    ASSERT_EQ(file.size(), 13u);
    std::vector<std::size_t> tensors;
    std::vector<std::vector<float>> y;
    std::vector<float*> to;
    to.reserve(file.size());
    for (std::size_t i = 0; i < file.size(); ++i) {
        tensors.push_back(i);
        y.emplace_back(static_cast<std::size_t>(file.info(i).rows), 7.0F);
    }
    for (auto& values : y) to.push_back(values.data());
    const std::vector<float> x = test::activations(264, 29);
    for (const vqd_mode mode : {VQD_INT8, VQD_EXACT})
        for (const vqd_threads& threads : {vqd_threads{}, vqd_threads{backwards, nullptr}}) {
            vqd::Decoder decoder(file, threads);
            decoder.matvecs(tensors, x.data(), to.data(), mode);
            for (std::size_t i = 0; i < file.size(); ++i) {
                std::vector<float> want(y[i].size());
                decoder.matvec(i, x.data(), want.data(), mode);
                EXPECT_EQ(y[i], want) << i;
            }
        }
    // A missing tensor, a missing result, little scratch: nothing is done.
    std::vector<std::byte> scratch(
        vqd_matvecs_scratch_bytes(file.get(), tensors.data(), tensors.size()));
    const auto call = [&](std::size_t bytes) {
        return vqd_matvecs(file.get(), tensors.data(), tensors.size(), VQD_INT8, x.data(),
                           to.data(), scratch.data(), bytes, nullptr);
    };
    EXPECT_EQ(call(scratch.size()), VQD_OK);
    EXPECT_EQ(call(100), VQD_BAD_ARGUMENT);
    // More columns than the others, in the first round of eight and in a later one.
    PackedBuffer mixed;
    {
        PackedWriter writer(mixed.sink());
        for (int i = 0; i < 10; ++i) {
            PackedTensor t;
            t.name = "w" + std::to_string(i);
            t.rows = 2;
            t.cols = i == 9 ? 12 : 4;
            t.kind = decode::TensorKind::dense_f32;
            t.dense.resize(static_cast<std::size_t>(t.rows * t.cols) * sizeof(float));
            writer.add_tensor(t);
        }
        writer.finish();
    }
    const vqd::File other(mixed.data(), mixed.size());
    for (const std::vector<std::size_t>& some :
         {std::vector<std::size_t>{0, 9}, {0, 1, 2, 3, 4, 5, 6, 7, 9}})
        EXPECT_EQ(vqd_matvecs_scratch_bytes(other.get(), some.data(), some.size()), 0u);
    tensors.back() = 99;
    EXPECT_EQ(call(scratch.size()), VQD_BAD_ARGUMENT);
    EXPECT_EQ(vqd_matvecs_scratch_bytes(file.get(), tensors.data(), tensors.size()), 0u);
    tensors.back() = 0;
    to.back() = nullptr;
    EXPECT_EQ(call(scratch.size()), VQD_BAD_ARGUMENT);
}

TEST(Decode, PointersNeedNoAlignment) {
    for (const PackedCase& c : test::cases()) {
        const std::vector<float> x = test::activations(c.tensor.cols, 23);
        const std::vector<float> want = test::product(c, x, VQD_INT8);
        const vqd::File file = test::open(c);
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
    const PackedCase& c = test::cases().front();
    const vqd::File file = test::open(c);
    const std::vector<float> x = test::activations(c.tensor.cols, 1);
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
    for (const std::string& isa : test::isas()) {
        const test::IsaScope scope(isa);
        const vqd::File file = open(test::cases().front());
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
    EXPECT_EQ(vqd_open(test::cases().front().file.data(), test::cases().front().file.size(), &file,
                       message, sizeof(message)),
              VQD_BAD_ISA);
    EXPECT_NE(std::string(message).find("VQ_ISA=sse9"), std::string::npos);
}

}  // namespace
}  // namespace vq
