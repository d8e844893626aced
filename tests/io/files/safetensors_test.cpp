// SPDX-License-Identifier: Apache-2.0
#include "io/files/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Opens a file and converts everything in it.
void read_all(const std::string& path) {
    const SafetensorsFile file(path);
    for (const SafetensorInfo& info : file.tensors()) {
        std::vector<float> values(static_cast<std::size_t>(info.count));
        if (info.type != SafetensorType::other)
            safetensor_to_float(info.type, file.data(info).data(), info.count, values.data());
    }
}

class Safetensors : public ::testing::Test {
protected:
    /// The error that a file with this header gives.
    std::string error_of_header(const std::string& header, std::size_t data_bytes) {
        write_bytes(path_, safetensors_bytes(header, data_bytes));
        return error_of([&] { read_all(path_); });
    }
    TempFolder folder_;
    std::string path_ = folder_ / "model.safetensors";
};

TEST_F(Safetensors, WriterAndReaderAgreeInEveryType) {
    const std::vector<float> values{0.0F, -0.0F, 1.5F, -2.25F, 1e-3F, 60000.0F};
    for (const auto type : {SafetensorType::f32, SafetensorType::f16, SafetensorType::bf16}) {
        SafetensorsWriter writer(path_, {{"b", type, {2, 3}}, {"a", type, {6}}});
        writer.write("b", values.data());
        writer.write("a", values.data());
        writer.finish();
        const SafetensorsFile file(path_);
        ASSERT_EQ(file.tensors().size(), 2u);
        EXPECT_EQ(file.tensors()[0].name, "b");
        EXPECT_EQ(file.tensors()[0].begin % 8, 0) << "data starts aligned";
        EXPECT_EQ(file.find("b")->shape, (std::vector<std::int64_t>{2, 3}));
        EXPECT_EQ(file.find("c"), nullptr);
        // Half a unit in the last place, relative.
        const float precision = type == SafetensorType::f32   ? 0.0F
                                : type == SafetensorType::f16 ? 0x1p-11F
                                                              : 0x1p-9F;
        for (const SafetensorInfo& info : file.tensors()) {
            std::vector<float> read(6);
            safetensor_to_float(info.type, file.data(info).data(), info.count, read.data());
            for (std::size_t i = 0; i < 6; ++i) {
                EXPECT_LE(std::abs(read[i] - values[i]), precision * std::abs(values[i]));
                EXPECT_EQ(std::signbit(read[i]), std::signbit(values[i]));
            }
        }
    }
}

TEST_F(Safetensors, WriterSaysThatTheFormatIsPt) {
    SafetensorsWriter(path_, {}).finish();
    EXPECT_THAT(read_bytes(path_), HasSubstr(R"("__metadata__":{"format":"pt"})"));
    EXPECT_EQ(SafetensorsFile(path_).tensors().size(), 0u);
}

TEST_F(Safetensors, UnfinishedWriterLeavesNothing) {
    const float value = 1;
    {
        SafetensorsWriter writer(
            path_, {{"a", SafetensorType::f32, {1}}, {"b", SafetensorType::f32, {1}}});
        writer.write("a", &value);
    }
    EXPECT_EQ(folder_.entries(), 0u);
}

TEST_F(Safetensors, WriterRefusesValuesThatTheTypeCannotHold) {
    const std::vector<float> values{1.0F, 70000.0F};
    {
        SafetensorsWriter writer(path_, {{"big", SafetensorType::f16, {2}}});
        EXPECT_THAT(error_of([&] { writer.write("big", values.data()); }),
                    AllOf(HasSubstr("big"), HasSubstr("element 1"), HasSubstr("F16")));
    }
    EXPECT_EQ(folder_.entries(), 0u);
    SafetensorsWriter writer(path_, {{"big", SafetensorType::bf16, {2}}});
    writer.write("big", values.data());
    writer.finish();
    EXPECT_EQ(folder_.entries(), 1u);
}

TEST_F(Safetensors, EmptyTensorsAndOtherTypesAreListed) {
    write_bytes(path_,
                safetensors_bytes(R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},)"
                                  R"("s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                                  R"("i":{"dtype":"I64","shape":[2],"data_offsets":[4,20]}}   )",
                                  20));
    const SafetensorsFile file(path_);
    EXPECT_EQ(file.find("e")->bytes, 0);
    EXPECT_EQ(file.find("s")->count, 1);
    EXPECT_EQ(file.find("i")->type, SafetensorType::other);
    EXPECT_EQ(file.find("i")->type_name, "I64");
}

TEST_F(Safetensors, EveryTruncationIsAnError) {
    SafetensorsWriter writer(path_,
                             {{"a", SafetensorType::f32, {3}}, {"b", SafetensorType::f16, {5}}});
    const std::vector<float> values(5, 1.0F);
    writer.write("a", values.data());
    writer.write("b", values.data());
    writer.finish();
    const std::string whole = read_bytes(path_);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        write_bytes(path_, whole.substr(0, size));
        EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr(path_)) << size;
    }
}

TEST_F(Safetensors, FlippedHeaderBytesNeverCrash) {
    SafetensorsWriter writer(path_,
                             {{"a", SafetensorType::f32, {3}}, {"b", SafetensorType::f16, {5}}});
    const std::vector<float> values(5, 1.0F);
    writer.write("a", values.data());
    writer.write("b", values.data());
    writer.finish();
    const std::string whole = read_bytes(path_);
    int refused = 0;
    for (std::size_t at = 0; at + 22 < whole.size(); ++at) {
        for (const int flip : {0x01, 0x02, 0x04, 0x10, 0x80, 0xFF}) {
            std::string damaged = whole;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            write_bytes(path_, damaged);
            refused += succeeds_or_errs([&] { read_all(path_); }, std::to_string(at)) ? 0 : 1;
        }
    }
    EXPECT_GT(refused, 100);
}

TEST_F(Safetensors, LyingHeaderLengthsAreRefused) {
    write_bytes(path_, raw(std::uint64_t{100'000'001}) + "{}");
    EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr("limit"));
    write_bytes(path_, raw(~std::uint64_t{0}) + "{}");
    EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr("limit"));
    write_bytes(path_, raw(std::uint64_t{3}) + "{}");
    EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr("past the end"));
    write_bytes(path_, raw(std::uint64_t{0}));
    EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr("not a JSON object"));
}

TEST_F(Safetensors, TensorsOutsideTheFileAreRefusedByName) {
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7),
                AllOf(HasSubstr("past the end"), HasSubstr(": w:")));
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[)"
                                R"(9223372036854775800,9223372036854775808]}})",
                                8),
                AllOf(HasSubstr("too large"), HasSubstr(": w:")));
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[)"
                                R"(9223372036854775800,9223372036854775804]}})",
                                8),
                AllOf(HasSubstr("past the end"), HasSubstr(": w:")));
}

TEST_F(Safetensors, OverlapIsRefusedWithBothNames) {
    EXPECT_THAT(error_of_header(R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                R"("w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                                12),
                AllOf(HasSubstr("overlaps v"), HasSubstr(": w:")));
}

TEST_F(Safetensors, BytesThatBelongToNoTensorAreRefused) {
    const std::string one = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
    EXPECT_THAT(error_of_header(one, 8), AllOf(HasSubstr("4 bytes before"), HasSubstr(": w:")));
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5),
                HasSubstr("1 bytes behind its last tensor"));
}

TEST_F(Safetensors, ShapesThatDoNotMatchTheBytesAreRefused) {
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"F16","shape":[3],"data_offsets":[0,8]}})", 8),
                AllOf(HasSubstr("6 bytes"), HasSubstr(": w:")));
    // 2^32 x 2^32 wraps around to nothing in 64 bits.
    EXPECT_THAT(
        error_of_header(
            R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
        AllOf(HasSubstr("too large"), HasSubstr(": w:")));
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
                HasSubstr(": w:"));
}

TEST_F(Safetensors, MalformedHeadersAreRefused) {
    const std::string good = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
    EXPECT_THAT(error_of_header("{\"w\":" + good + ",\"w\":" + good + "}", 4),
                AllOf(HasSubstr("twice"), HasSubstr(": w:")));
    EXPECT_THAT(error_of_header(R"({"w":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}})", 4),
                AllOf(HasSubstr("Q9"), HasSubstr(": w:")));
    for (const char* bad :
         {R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
          R"({"w":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})",
          R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})",
          R"({"w":{"dtype":"F32","shape":[1]}})",
          R"({"w":{"dtype":"F32","data_offsets":[0,4]}})",
          R"({"w":{"shape":[1],"data_offsets":[0,4]}})",
          R"({"w":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})",
          R"({"w":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})",
          R"({"w":{"dtype":"F32","shape":{"a":1},"data_offsets":[0,4]}})",
          R"({"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})",
          R"({"w":null})",
          R"({"w":[1]})",
          R"({"w":1})",
          R"({"w":"F32"})",
          R"({"__metadata__":{"a":1}})",
          R"({"__metadata__":{"a":{}}})",
          R"({"w":{})",
          "{,}",
          "[]",
          "{\"\xFF\":{}}"})
        EXPECT_THAT(error_of_header(bad, 4), HasSubstr(path_)) << bad;
    EXPECT_THAT(error_of_header("{" + std::string(100000, '['), 0), HasSubstr(path_));
}

TEST_F(Safetensors, FilesAboveFourGigabytesAreRead) {
    // A sparse file: only the header and the last tensor take space on disk.
    const std::string header = R"({"big":{"dtype":"BF16","shape":[50000,50000],)"
                               R"("data_offsets":[0,5000000000]},"w":{"dtype":"F32","shape":[1],)"
                               R"("data_offsets":[5000000000,5000000004]}})";
    const std::string start = safetensors_bytes(header, 0);
    write_bytes(path_, start);
    std::filesystem::resize_file(path_, start.size() + 5'000'000'000);
    std::ofstream(path_, std::ios::binary | std::ios::app) << raw(3.5F);
    const SafetensorsFile file(path_);
    EXPECT_EQ(file.find("big")->count, 2'500'000'000);
    EXPECT_EQ(file.data(*file.find("big")).size(), 5'000'000'000u);
    float value = 0;
    safetensor_to_float(SafetensorType::f32, file.data(*file.find("w")).data(), 1, &value);
    EXPECT_EQ(value, 3.5F);
}

TEST_F(Safetensors, ConvertsAcrossBufferBoundsAndUnaligned) {
    std::vector<std::uint8_t> bytes(2 * 9001 + 1);
    for (std::size_t i = 0; i < 9001; ++i) {
        const auto bits = static_cast<std::uint16_t>(0x3F80 + i % 128);
        std::memcpy(bytes.data() + 1 + 2 * i, &bits, sizeof(bits));
    }
    std::vector<float> values(9001);
    safetensor_to_float(SafetensorType::bf16, bytes.data() + 1, 9001, values.data());
    for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(values[i], 1.0F + static_cast<float>(i % 128) / 128.0F);
}

TEST(SafetensorsIndex, GivesShardsAndRefusesPathsOutOfTheFolder) {
    const auto map = parse_safetensors_index(
        R"({"metadata":{"total_size":1},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})",
        "i");
    EXPECT_EQ(map.at("b"), "y.safetensors");
    for (const char* bad :
         {R"({"weight_map":{"a":"../x"}})", R"({"weight_map":{"a":"/etc/x"}})",
          R"({"weight_map":{"a":".."}})", R"({"weight_map":{"a":""}})", R"({"weight_map":{"a":1}})",
          R"({"weight_map":{}})", R"({"weight_map":[]})", "{}", "[", ""})
        EXPECT_THAT(error_of([&] { parse_safetensors_index(bad, "index"); }), HasSubstr("index"))
            << bad;
}

}  // namespace
}  // namespace vq::test
