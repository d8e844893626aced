// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/hessian_file.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tests/io/hdf5/store_fixture.h"

namespace vq {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace vq::testing;

/// A symmetric sum of width n whose entries need all 53 bits.
HessianRecord record(const std::vector<std::string>& names, Index n, int seed) {
    HessianRecord out;
    out.names = names;
    out.xxt.resize(n, n);
    out.x.resize(n);
    for (Index i = 0; i < n; ++i) {
        out.x(i) = std::sin(static_cast<double>(i + seed));
        for (Index j = 0; j <= i; ++j)
            out.xxt(i, j) = out.xxt(j, i) = std::cos(static_cast<double>(i * n + j + seed)) / 3;
    }
    out.count = 1000 + seed;
    return out;
}

void expect_same(const HessianRecord& a, const HessianRecord& b) {
    EXPECT_EQ(a.names, b.names);
    EXPECT_EQ(a.count, b.count);
    ASSERT_EQ(a.x.size(), b.x.size());
    EXPECT_TRUE(a.x == b.x);
    EXPECT_TRUE(a.xxt == b.xxt);
}

std::string write(const std::string& path, const std::vector<HessianRecord>& records,
                  const std::string& model = "model-1") {
    HessianWriter writer(path, {model, Json{{"command", "vq hessian collect"}}});
    for (const HessianRecord& each : records) writer.write(each);
    writer.finish();
    return path;
}

HessianTotals merge(const std::vector<std::string>& inputs, const std::string& out) {
    return merge_hessian_files(inputs, out, Json::object(), {});
}

TEST(HessianFile, ReadsBackEveryBit) {
    const TempFolder folder;
    const std::vector<HessianRecord> records = {record({"q", "k", "v"}, 7, 1), record({"o"}, 1, 2),
                                                record({"down"}, 600, 3)};
    const std::string path = write(folder / "h.h5", records);
    EXPECT_THAT(folder.list(), ElementsAre("h.h5"));
    const HessianReader reader(path);
    EXPECT_EQ(reader.meta().model_hash, "model-1");
    EXPECT_EQ(reader.meta().provenance["command"], "vq hessian collect");
    ASSERT_EQ(reader.size(), 3);
    for (Index i = 0; i < 3; ++i) expect_same(records[static_cast<std::size_t>(i)], reader.read(i));
    expect_same(records[0], reader.find("v"));
    EXPECT_TRUE(reader.has("down"));
    EXPECT_FALSE(reader.has("up"));
    EXPECT_THAT(error_of([&] { reader.find("up"); }), HasSubstr("up"));
    // Half of the matrix is stored, as documented.
    EXPECT_LT(fs::file_size(path), 600U * 601U / 2U * 8U + 30000U);
}

TEST(HessianFile, SameContentGivesTheSameBytes) {
    const TempFolder folder;
    const std::vector<HessianRecord> records = {record({"a"}, 40, 1), record({"b"}, 50, 2)};
    EXPECT_TRUE(slurp(write(folder / "1", records)) == slurp(write(folder / "2", records)));
}

TEST(HessianFile, WithoutFinishNothingIsLeft) {
    const TempFolder folder;
    {
        HessianWriter writer(folder / "h.h5", {"m", Json::object()});
        writer.write(record({"a"}, 8, 1));
    }
    EXPECT_THAT(folder.list(), IsEmpty());
    EXPECT_THAT(error_of([&] { HessianWriter(folder / "none/h.h5", {}); }), HasSubstr("none/h.h5"));
}

TEST(HessianFile, FullDiskKeepsTheOldFile) {
    const TempFolder folder;
    const std::string path = write(folder / "h.h5", {record({"a"}, 4, 1)});
    const std::string before = slurp(path);
    {
        const FullDisk full(50000);
        const std::string message = error_of([&] {
            write(path, {record({"a"}, 200, 1), record({"b"}, 200, 2)});
        });
        EXPECT_THAT(message, AllOf(HasSubstr("File too large"), HasSubstr("h.h5")));
    }
    EXPECT_TRUE(before == slurp(path));
    EXPECT_THAT(folder.list(), ElementsAre("h.h5"));
}

TEST(HessianFile, ValuesThatAreNotFiniteAreRefusedByName) {
    const TempFolder folder;
    HessianRecord bad = record({"layer.q"}, 5, 1);
    bad.xxt(3, 1) = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THAT(error_of([&] { write(folder / "h", {bad}); }),
                AllOf(HasSubstr("nan"), HasSubstr("layer.q")));
    bad = record({"layer.q"}, 5, 1);
    bad.x(4) = std::numeric_limits<double>::infinity();
    EXPECT_THAT(error_of([&] { write(folder / "h", {bad}); }), HasSubstr("inf at entry 4"));
    EXPECT_THAT(folder.list(), IsEmpty());
}

TEST(HessianFile, DamageIsAnError) {
    const TempFolder folder;
    const std::string whole = slurp(write(folder / "h", {record({"layer.q"}, 30, 1)}));
    const auto read = [&] { HessianReader(folder / "bad").read(0); };
    for (std::size_t cut = 0; cut < whole.size(); cut += 97) {
        spill(folder / "bad", whole.substr(0, cut));
        EXPECT_NE(error_of(read), "") << cut;
    }
    const double first = record({"layer.q"}, 30, 1).xxt(0, 0);
    const std::size_t at =
        whole.find(std::string(reinterpret_cast<const char*>(&first), sizeof(first)));
    ASSERT_NE(at, std::string::npos);
    std::string flipped = whole;
    flipped[at + 800] ^= 4;
    spill(folder / "bad", flipped);
    EXPECT_THAT(error_of(read), AllOf(HasSubstr("checksum"), HasSubstr("xxt")));
}

TEST(HessianMerge, AddsExactlyWhateverTheOrderOfRecords) {
    const TempFolder folder;
    const HessianRecord a1 = record({"q", "k"}, 33, 1);
    const HessianRecord a2 = record({"o"}, 20, 2);
    const HessianRecord b1 = record({"q", "k"}, 33, 30);
    const HessianRecord b2 = record({"o"}, 20, 40);
    const std::string a = write(folder / "a", {a1, a2});
    const std::string b = write(folder / "b", {b2, b1});
    merge({a, b}, folder / "ab");
    merge({b, a}, folder / "ba");
    for (const char* name : {"ab", "ba"}) {
        const HessianReader merged(folder / name);
        EXPECT_EQ(merged.meta().model_hash, "model-1");
        EXPECT_EQ(merged.meta().provenance["merged"].size(), 2U);
        ASSERT_EQ(merged.size(), 2);
        const HessianRecord sum = merged.find("q");
        EXPECT_TRUE(sum.xxt == MatrixD(a1.xxt + b1.xxt));
        EXPECT_TRUE(sum.x == VectorD(a1.x + b1.x));
        EXPECT_EQ(sum.count, a1.count + b1.count);
        EXPECT_TRUE(merged.find("o").xxt == MatrixD(a2.xxt + b2.xxt));
    }
    merge({a, b}, a);  // the output may be an input
    EXPECT_TRUE(slurp(folder / "ab") == slurp(a));
}

TEST(HessianMerge, AnyNumberOfFilesAndTheirProvenance) {
    const TempFolder folder;
    std::vector<std::string> files;
    HessianRecord sum = record({"q", "k"}, 9, 0);
    for (int i = 0; i < 3; ++i) {
        const HessianRecord each = record({"q", "k"}, 9, 10 * i);
        files.push_back(write(folder / std::to_string(i), {each}));
        if (i == 0) continue;
        sum.xxt += each.xxt;
        sum.x += each.x;
        sum.count += each.count;
    }
    const HessianTotals totals =
        merge_hessian_files(files, folder / "all", {{"command", "merge"}}, {});
    EXPECT_EQ(totals.groups, 1);
    EXPECT_EQ(totals.tokens, sum.count);
    const HessianReader all(folder / "all");
    expect_same(sum, all.read(0));
    EXPECT_EQ(all.meta().provenance["command"], "merge");
    EXPECT_EQ(all.meta().provenance["merged"].size(), 3U);
}

TEST(HessianMerge, StopsWhenAskedAndLeavesNothing) {
    const TempFolder folder;
    const std::string a = write(folder / "a", {record({"q"}, 6, 1)});
    EXPECT_THROW(merge_hessian_files({a, a}, folder / "out", Json::object(),
                                     {.step = {}, .note = {}, .cancelled = [] { return true; }}),
                 Cancelled);
    EXPECT_THAT(folder.list(), ElementsAre("a"));
}

TEST(HessianMerge, FilesThatDoNotBelongTogetherAreRefused) {
    const TempFolder folder;
    const std::string a = write(folder / "a", {record({"q"}, 6, 1), record({"o"}, 4, 1)});
    const auto merge_with = [&](const std::vector<HessianRecord>& records, const char* model) {
        write(folder / "b", records, model);
        return error_of([&] { merge({a, folder / "b"}, folder / "out"); });
    };
    const HessianRecord q = record({"q"}, 6, 2);
    EXPECT_THAT(merge_with({q, record({"o"}, 4, 2)}, "model-2"), HasSubstr("different models"));
    EXPECT_THAT(merge_with({q}, "model-1"), HasSubstr("2 records here, 1 there"));
    EXPECT_THAT(merge_with({q, record({"up"}, 4, 2)}, "model-1"),
                AllOf(HasSubstr("missing"), HasSubstr(": o:")));
    EXPECT_THAT(merge_with({q, record({"o", "up"}, 4, 2)}, "model-1"),
                AllOf(HasSubstr("different tensors"), HasSubstr(": o:")));
    EXPECT_THAT(merge_with({q, record({"o"}, 5, 2)}, "model-1"),
                AllOf(HasSubstr("width 4 here, 5 there"), HasSubstr(": o:")));
    HessianRecord huge = record({"o"}, 4, 2);
    huge.count = std::numeric_limits<std::int64_t>::max();
    EXPECT_THAT(merge_with({q, huge}, "model-1"), AllOf(HasSubstr("overflow"), HasSubstr(": o:")));
    huge = record({"o"}, 4, 2);
    huge.xxt(0, 0) = std::numeric_limits<double>::max();
    write(a, {record({"q"}, 6, 1), huge});
    EXPECT_THAT(merge_with({q, huge}, "model-1"), AllOf(HasSubstr("inf"), HasSubstr(": o:")));
    EXPECT_THAT(folder.list(), ElementsAre("a", "b"));
}

TEST(HessianFile, AStoreIsNoHessianFile) {
    const TempFolder folder;
    write_sample_store(folder / "s", {"t"});
    EXPECT_THAT(error_of([&] { HessianReader reader(folder / "s"); }),
                HasSubstr("not a vqkit-hessians file"));
}

}  // namespace
}  // namespace vq
