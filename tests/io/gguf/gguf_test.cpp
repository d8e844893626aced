// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Opens a file, asks for every kind of value and dequantises every tensor.
void read_all(const std::string& path) {
    const GgufFile file(path);
    for (const GgufTensor& tensor : file.tensors()) {
        std::vector<float> values(static_cast<std::size_t>(tensor.count));
        ggml_dequantize(tensor.type, file.data(tensor).data(), tensor.count, values.data());
    }
    for (const char* key : {"list", "number", "name"}) {
        for (const auto& get : std::initializer_list<std::function<void()>>{
                 [&] { file.get_strings(key); }, [&] { file.get_ints(key); },
                 [&] { file.get_floats(key); }, [&] { file.get_int(key); },
                 [&] { file.get_string(key); }})
            succeeds_or_errs(get, key);
    }
}

GgufBuilder small_file() {
    GgufBuilder gguf;
    gguf.set("number", 7u).set("name", "text").set("list", std::vector<std::string>{"a", "", "bc"});
    gguf.tensor("one", {32, 2}, 8, std::string(68, '\1'));
    gguf.tensor("two", {3}, 0, std::string(12, '\0'));
    return gguf;
}

class Gguf : public ::testing::Test {
protected:
    const std::string& write(const GgufBuilder& gguf) {
        write_bytes(path_, gguf.bytes());
        return path_;
    }
    std::string error_of_file(const GgufBuilder& gguf) {
        write(gguf);
        return error_of([&] { read_all(path_); });
    }
    TempFolder folder_;
    std::string path_ = folder_ / "model.gguf";
};

TEST_F(Gguf, EveryTypeOfValueIsRead) {
    GgufBuilder gguf;
    gguf.pair("u8", GgufType::u8, raw(std::uint8_t{200}))
        .pair("i8", GgufType::i8, raw(std::int8_t{-5}))
        .pair("u16", GgufType::u16, raw(std::uint16_t{60000}))
        .pair("i16", GgufType::i16, raw(std::int16_t{-600}))
        .pair("u32", GgufType::u32, raw(std::uint32_t{4000000000u}))
        .pair("i32", GgufType::i32, raw(std::int32_t{-7}))
        .pair("u64", GgufType::u64, raw(std::uint64_t{1} << 40))
        .pair("i64", GgufType::i64, raw(std::numeric_limits<std::int64_t>::min()))
        .pair("f64", GgufType::f64, raw(0.1))
        .set("f32", 1e-5F)
        .set("yes", true)
        .set("text", "gr\xC3\xBC\xC3\x9F")
        .set("strings", std::vector<std::string>{"a", "", "b c"})
        .set("ints", std::vector<std::int32_t>{1, -2})
        .set("floats", std::vector<float>{0.5F});
    const GgufFile file(write(gguf));
    EXPECT_EQ(file.get_int("u8"), 200);
    EXPECT_EQ(file.get_int("i8"), -5);
    EXPECT_EQ(file.get_int("u16"), 60000);
    EXPECT_EQ(file.get_int("i16"), -600);
    EXPECT_EQ(file.get_int("u32"), 4000000000);
    EXPECT_EQ(file.get_int("i32"), -7);
    EXPECT_EQ(file.get_int("u64"), std::int64_t{1} << 40);
    EXPECT_EQ(file.get_int("i64"), std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(file.get_float("f64"), 0.1);
    EXPECT_EQ(file.get_float("f32"), 1e-5) << "an f32 means its shortest decimal form";
    EXPECT_EQ(file.get_bool("yes"), true);
    EXPECT_EQ(file.get_string("text"), "gr\xC3\xBC\xC3\x9F");
    EXPECT_EQ(*file.get_strings("strings"), (std::vector<std::string_view>{"a", "", "b c"}));
    EXPECT_EQ(*file.get_ints("ints"), (std::vector<std::int64_t>{1, -2}));
    EXPECT_EQ(*file.get_floats("floats"), std::vector<float>{0.5F});
    EXPECT_EQ(file.get_int("none"), std::nullopt);
    EXPECT_EQ(file.get_strings("none"), std::nullopt);
}

TEST_F(Gguf, ValuesOfAnotherTypeAreErrorsThatNameTheKey) {
    GgufBuilder gguf = small_file();
    gguf.pair("huge", GgufType::u64, raw(~std::uint64_t{0}));
    const GgufFile file(write(gguf));
    EXPECT_THAT(error_of([&] { file.get_int("name"); }),
                AllOf(HasSubstr("name"), HasSubstr("string")));
    EXPECT_THAT(error_of([&] { file.get_string("number"); }),
                AllOf(HasSubstr("number"), HasSubstr("u32")));
    EXPECT_THAT(error_of([&] { file.get_float("number"); }), HasSubstr("floating-point"));
    EXPECT_THAT(error_of([&] { file.get_bool("number"); }), HasSubstr("boolean"));
    EXPECT_THAT(error_of([&] { file.get_ints("list"); }), HasSubstr("array of integers"));
    EXPECT_THAT(error_of([&] { file.get_floats("number"); }), HasSubstr("array of f32"));
    EXPECT_THAT(error_of([&] { file.get_int("huge"); }), HasSubstr("2^63"));
    EXPECT_THAT(error_of([&] { file.require_int("none"); }),
                AllOf(HasSubstr("none"), HasSubstr("missing")));
    EXPECT_THAT(error_of([&] { file.require_string("none"); }), HasSubstr("missing"));
}

TEST_F(Gguf, TensorsStandWhereTheirOffsetsSay) {
    const GgufFile file(write(small_file()));
    ASSERT_EQ(file.tensors().size(), 2u);
    const GgufTensor* one = file.find_tensor("one");
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(one->type, GgmlType::q8_0);
    EXPECT_EQ(one->extents, (std::vector<std::int64_t>{32, 2}));
    EXPECT_EQ(one->count, 64);
    EXPECT_EQ(one->bytes, 68);
    EXPECT_EQ(one->begin % 32, 0);
    EXPECT_EQ(file.data(*one)[0], 1);
    EXPECT_EQ(file.find_tensor("two")->begin, one->begin + 96);
    EXPECT_EQ(file.find_tensor("three"), nullptr);
}

TEST_F(Gguf, AlignmentOfTheFileIsObeyed) {
    GgufBuilder gguf;
    gguf.alignment = 64;
    gguf.set("general.alignment", 64u);
    gguf.tensor("a", {1}, 0, raw(1.0F)).tensor("b", {1}, 0, raw(2.0F));
    const GgufFile file(write(gguf));
    EXPECT_EQ(file.find_tensor("b")->begin % 64, 0);
    float value = 0;
    std::memcpy(&value, file.data(*file.find_tensor("b")).data(), sizeof(value));
    EXPECT_EQ(value, 2.0F);
    for (const std::uint32_t bad : {0u, 3u, 48u, 1u << 31}) {
        GgufBuilder other = small_file();
        other.set("general.alignment", bad);
        EXPECT_THAT(error_of_file(other), HasSubstr("alignment")) << bad;
    }
}

TEST_F(Gguf, EveryTruncationIsAnError) {
    // The padding after the last tensor may be missing, its bytes may not.
    const std::string whole = small_file().bytes();
    for (std::size_t size = 0; size < whole.size() - (32 - 12); ++size) {
        write_bytes(path_, whole.substr(0, size));
        EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr(path_)) << size;
    }
    write_bytes(path_, whole.substr(0, whole.size() - (32 - 12)));
    read_all(path_);
}

TEST_F(Gguf, FlippedHeaderBytesNeverCrash) {
    const GgufBuilder gguf = small_file();
    const std::string whole = gguf.bytes();
    int refused = 0;
    for (std::size_t at = 0; at < gguf.header_bytes(); ++at) {
        for (const int flip : {0x01, 0x02, 0x08, 0x40, 0x80, 0xFF}) {
            std::string damaged = whole;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            write_bytes(path_, damaged);
            refused += succeeds_or_errs([&] { read_all(path_); }, std::to_string(at)) ? 0 : 1;
        }
    }
    EXPECT_GT(refused, 300);
}

TEST_F(Gguf, OtherMagicsAndVersionsAreRefused) {
    GgufBuilder gguf = small_file();
    gguf.magic = 0x12345678;
    EXPECT_THAT(error_of_file(gguf), HasSubstr("does not begin as a GGUF file"));
    EXPECT_FALSE(is_gguf(path_));
    gguf = small_file();
    gguf.version = 1;
    EXPECT_THAT(error_of_file(gguf), HasSubstr("version 1"));
    EXPECT_TRUE(is_gguf(path_));
    gguf.version = 0x03000000;
    EXPECT_THAT(error_of_file(gguf), HasSubstr("big-endian"));
    EXPECT_FALSE(is_gguf(folder_ / "none"));
    EXPECT_FALSE(is_gguf(folder_.path()));
}

TEST_F(Gguf, HugeCountsAreRefusedBeforeAnythingIsAllocated) {
    for (const std::int64_t extra :
         {std::int64_t{1} << 20, std::int64_t{1} << 40, std::int64_t{-3}}) {
        GgufBuilder gguf = small_file();
        gguf.extra_tensors = extra;
        EXPECT_THAT(error_of_file(gguf), HasSubstr("do not fit")) << extra;
        gguf = small_file();
        gguf.extra_pairs = extra - 1;
        EXPECT_THAT(error_of_file(gguf), HasSubstr("do not fit")) << extra;
    }
    for (const std::uint64_t count :
         {std::uint64_t{1} << 24, ~std::uint64_t{0}, ~std::uint64_t{0} / 4}) {
        for (const auto type : {GgufType::u8, GgufType::f64, GgufType::string, GgufType::array}) {
            GgufBuilder gguf = small_file();
            gguf.pair("big", GgufType::array, GgufBuilder::array_head(type, count));
            EXPECT_THAT(error_of_file(gguf), AllOf(HasSubstr("big"), HasSubstr("do not fit")));
        }
        GgufBuilder gguf = small_file();
        gguf.pair("big", GgufType::string, raw(count));
        EXPECT_THAT(error_of_file(gguf), AllOf(HasSubstr("big"), HasSubstr("do not fit")));
    }
}

TEST_F(Gguf, NestedArraysAreWalkedAndBounded) {
    std::string inner = GgufBuilder::array_head(GgufType::u8, 2) + "xy";
    GgufBuilder gguf = small_file();
    gguf.pair("nest", GgufType::array, GgufBuilder::array_head(GgufType::array, 1) + inner);
    gguf.set("after", 5u);
    EXPECT_EQ(GgufFile(write(gguf)).get_int("after"), 5);
    for (int depth = 0; depth < 8; ++depth)
        inner = GgufBuilder::array_head(GgufType::array, 1) + inner;
    gguf = small_file();
    gguf.pair("nest", GgufType::array, inner);
    EXPECT_THAT(error_of_file(gguf), HasSubstr("nested too deeply"));
}

TEST_F(Gguf, FilesAboveFourGigabytesAreRead) {
    GgufBuilder gguf;
    gguf.tensor("big", {100000, 12500}, 0, "").tensor("w", {1}, 0, "", 5'000'000'000);
    const std::string start = gguf.bytes();
    write_bytes(path_, start);
    std::filesystem::resize_file(path_, start.size() + 5'000'000'000);  // sparse
    std::ofstream(path_, std::ios::binary | std::ios::app) << raw(3.5F);
    const GgufFile file(path_);
    EXPECT_EQ(file.find_tensor("big")->bytes, 5'000'000'000);
    float value = 0;
    ggml_dequantize(GgmlType::f32, file.data(*file.find_tensor("w")).data(), 1, &value);
    EXPECT_EQ(value, 3.5F);
}

TEST_F(Gguf, NamesThatStandTwiceAreRefused) {
    GgufBuilder gguf = small_file();
    gguf.set("number", 8u);
    EXPECT_THAT(error_of_file(gguf), AllOf(HasSubstr("number"), HasSubstr("twice")));
    gguf = small_file();
    gguf.tensor("one", {1}, 0, raw(1.0F));
    EXPECT_THAT(error_of_file(gguf), AllOf(HasSubstr("one"), HasSubstr("twice")));
}

TEST_F(Gguf, TensorsThatDoNotFitAreRefusedByName) {
    const std::uint64_t big = std::uint64_t{1} << 32;
    const auto error_of_tensor = [&](const std::vector<std::uint64_t>& extents, std::uint32_t type,
                                     std::int64_t offset) {
        GgufBuilder gguf = small_file();
        gguf.tensor("bad", extents, type, std::string(64, '\0'), offset);
        const std::string error = error_of_file(gguf);
        EXPECT_THAT(error, HasSubstr(": bad:"));
        return error;
    };
    EXPECT_THAT(error_of_tensor({16}, 0, 0), HasSubstr("overlaps"));
    EXPECT_THAT(error_of_tensor({16}, 0, 1 << 20), HasSubstr("past the end"));
    EXPECT_THAT(error_of_tensor({16}, 0, std::numeric_limits<std::int64_t>::max()),
                HasSubstr("past the end"));
    EXPECT_THAT(error_of_tensor({16}, 0, 7), HasSubstr("alignment"));
    EXPECT_THAT(error_of_tensor({big, big, big, big}, 0, -1), HasSubstr("too large"));
    EXPECT_THAT(error_of_tensor({big, big}, 0, -1), HasSubstr("too large"));
    EXPECT_THAT(error_of_tensor({big, 1 << 20}, 0, -1), HasSubstr("past the end"));
    EXPECT_THAT(error_of_tensor({1u << 20}, 0, -1), HasSubstr("past the end"));
    EXPECT_THAT(error_of_tensor({16}, 8, -1), HasSubstr("whole number of Q8_0 blocks"));
    EXPECT_THAT(error_of_tensor({0}, 0, -1), HasSubstr("extent of 0"));
    EXPECT_THAT(error_of_tensor({}, 0, -1), HasSubstr("0 dimensions"));
    EXPECT_THAT(error_of_tensor({1, 1, 1, 1, 1}, 0, -1), HasSubstr("5 dimensions"));
    EXPECT_THAT(error_of_tensor({256}, 40, -1),
                AllOf(HasSubstr("NVFP4"), HasSubstr("not supported"), HasSubstr("or MXFP4")));
    EXPECT_THAT(error_of_tensor({256}, 4242, -1), HasSubstr("type 4242"));
}

TEST_F(Gguf, BytesBehindTheLastTensorAreRefused) {
    std::string bytes = small_file().bytes();
    write_bytes(path_, bytes);
    read_all(path_);
    write_bytes(path_, bytes + "\n");
    EXPECT_THAT(error_of([&] { read_all(path_); }), HasSubstr("behind its last tensor"));
    write_bytes(path_, GgufBuilder().set("name", "no tensors").bytes());
    read_all(path_);
}

TEST_F(Gguf, NamesWithControlBytesStayOnOneLine) {
    GgufBuilder gguf;
    gguf.tensor("bad\nname\x1B[2J", {16}, 4242, std::string(64, '\0'));
    EXPECT_THAT(error_of_file(gguf), HasSubstr("bad?name?[2J"));
}

}  // namespace
}  // namespace vq::test
