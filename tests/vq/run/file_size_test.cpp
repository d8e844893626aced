// SPDX-License-Identifier: Apache-2.0
#include "vq/run/file_size.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace vq {
namespace {

using testing::HasSubstr;

/// Four blocks of two layers, and a tied embedding as large as all of them.
std::vector<TensorPlan> tensors() {
    std::vector<TensorPlan> out;
    for (Index l = 0; l < 4; ++l)
        for (const char* name : {"q", "k"})
            out.push_back({"layers." + std::to_string(l) + "." + name,
                           {512, 512},
                           PlanRole::linear,
                           l,
                           0,
                           {}});
    out.push_back({"embed", {4096, 512}, PlanRole::embedding, -1, -1, {}, true});
    return out;
}

/// A file with 10,000 bytes beside its arrays.
std::int64_t bytes_of(const ModelPlan& plan) {
    const PlanSize size = plan_size(plan);
    return std::llround((size.linear_bits + size.embedding_bits) / 8) + 10'000;
}

TEST(FileSize, IsMetFromBelow) {
    for (const char* method : {"best", "qtip", "cvxq-grid"})
        for (const std::int64_t target : {1'000'000, 1'234'567, 1'600'000, 1'900'000}) {
            const FileSizePlan fitted = plan_file_size(tensors(), method, {}, {}, target, bytes_of);
            check_plan(fitted.plan);
            EXPECT_EQ(fitted.bytes, bytes_of(fitted.plan)) << method;
            EXPECT_LE(fitted.bytes, target) << method;
            EXPECT_GE(fitted.bytes, target - 12'000) << method << " " << target;
            EXPECT_EQ(fitted.plan.file_bytes, target);
        }
}

TEST(FileSize, LayersAndEmbeddingShareIt) {
    const FileSizePlan small = plan_file_size(tensors(), "best", {}, {}, 1'200'000, bytes_of);
    const FileSizePlan large = plan_file_size(tensors(), "best", {}, {}, 1'800'000, bytes_of);
    EXPECT_GT(large.embedding_bits, small.embedding_bits);
    EXPECT_GT(plan_size(large.plan).bits_per_weight(), plan_size(small.plan).bits_per_weight());
    // Rates differ from tensor to tensor by a step of columns, so that nothing is left.
    double least = 8;
    double most = 0;
    for (const TensorPlan& t : small.plan.tensors) {
        if (t.role != PlanRole::linear) continue;
        least = std::min(least, t.settings.code.rate);
        most = std::max(most, t.settings.code.rate);
    }
    EXPECT_LE(most - least, 16.0 / 512 + 1e-9);
    const FileSizePlan given =
        plan_file_size(tensors(), "best", {"embedding.code=int8"}, {}, 3'000'000, bytes_of);
    EXPECT_EQ(given.embedding_bits, 0);
    EXPECT_EQ(given.plan.tensors.back().settings.code.kind, "bytes");
}

TEST(FileSize, RecipesKeepTheirTensors) {
    const Recipe recipe = parse_recipe("layers.0.*: {code.rate: 4}\nembed: {bits: 5}\n", "r.yaml");
    const FileSizePlan fitted = plan_file_size(tensors(), "best", {}, recipe, 2'200'000, bytes_of);
    EXPECT_EQ(fitted.plan.tensors[0].settings.code.rate, 4);
    EXPECT_EQ(fitted.plan.tensors[1].settings.code.rate, 4);
    EXPECT_EQ(fitted.plan.tensors.back().settings.code.kind, "grid");
    EXPECT_LE(fitted.bytes, 2'200'000);
    EXPECT_GE(fitted.bytes, 2'188'000);
}

TEST(FileSize, CoarseMethodsStayBelow) {
    const FileSizePlan fitted = plan_file_size(tensors(), "gptq", {}, {}, 1'500'000, bytes_of);
    EXPECT_LE(fitted.bytes, 1'500'000);
    // What whole bits leave is the embedding's: a step of it is 16 columns of 4,096.
    EXPECT_GE(fitted.bytes, 1'500'000 - 16 * 4096 / 8 - 8'000);
}

TEST(FileSize, TablesTakeWhatTheMostBitsLeave) {
    const FileSizePlan some = plan_file_size(tensors(), "best", {}, {}, 2'500'000, bytes_of);
    EXPECT_EQ(some.plan.tensors.front().settings.code.rate, 4);
    EXPECT_GT(some.embedding_bits, 4.5);
    EXPECT_LE(some.bytes, 2'500'000);
    EXPECT_GE(some.bytes, 2'480'000);
    const FileSizePlan all = plan_file_size(tensors(), "best", {}, {}, 9'000'000, bytes_of);
    EXPECT_EQ(all.plan.tensors.back().settings.code.kind, "bytes");
}

TEST(FileSize, TooSmallASizeNamesTheLeast) {
    try {
        plan_file_size(tensors(), "best", {}, {}, 100'000, bytes_of);
        FAIL();
    } catch (const Error& error) {
        const std::string text = error.what();
        EXPECT_THAT(text, HasSubstr("--target-size 100000"));
        const std::size_t at = text.find("method is ");
        ASSERT_NE(at, std::string::npos);
        const std::int64_t least = std::stoll(text.substr(at + 10));
        EXPECT_LE(plan_file_size(tensors(), "best", {}, {}, least, bytes_of).bytes, least);
        EXPECT_THROW(plan_file_size(tensors(), "best", {}, {}, least - 1, bytes_of), Error);
    }
    EXPECT_THROW(plan_file_size(tensors(), "best", {"code.rate=2"}, {}, 2'000'000, bytes_of),
                 Error);
}

TEST(FileSize, BytesAreReadWithTheirUnits) {
    EXPECT_EQ(parse_bytes("48MB"), 48'000'000);
    EXPECT_EQ(parse_bytes("1.5 MiB"), 3 << 19);
    EXPECT_EQ(parse_bytes("2GB"), 2'000'000'000);
    EXPECT_EQ(parse_bytes("7kB"), 7000);
    EXPECT_EQ(parse_bytes("123"), 123);
    for (const char* bad : {"", "MB", "48Mb", "-3", "0", "1e30", "nan", "48MB.", "inf"})
        EXPECT_THROW(parse_bytes(bad), Error) << bad;
}

}  // namespace
}  // namespace vq
