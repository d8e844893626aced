// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/gguf_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/gguf/gguf.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Three parts with one, two and one tensors, as llama.cpp's gguf-split writes them.
class GgufSplit : public ::testing::Test {
protected:
    static GgufBuilder part(std::uint16_t no, std::uint16_t count = 3, std::int32_t tensors = 4) {
        GgufBuilder gguf;
        gguf.pair("split.no", GgufType::u16, raw(no));
        gguf.pair("split.count", GgufType::u16, raw(count));
        return gguf.pair("split.tensors.count", GgufType::i32, raw(tensors));
    }
    std::string path(int number, int count = 3) const {
        return folder_ /
               ("m-0000" + std::to_string(number) + "-of-0000" + std::to_string(count) + ".gguf");
    }
    void SetUp() override {
        GgufBuilder first = part(0), second = part(1), third = part(2);
        first.set("name", "whole").tensor("a", {1}, 0, raw(1.0F));
        second.tensor("b", {1}, 0, raw(2.0F))
            .tensor("c", {2, 1, 3}, 0, raw_floats({1, 2, 3, 4, 5, 6}));
        third.tensor("d", {1}, 0, raw(4.0F));
        write_bytes(path(1), first.bytes());
        write_bytes(path(2), second.bytes());
        write_bytes(path(3), third.bytes());
    }
    std::string error_of_open(const std::string& name) const {
        return error_of([&] { GgufFile file(name); });
    }
    static float value(const GgufFile& file, const std::string& name) {
        float out = 0;
        std::memcpy(&out, file.data(*file.find_tensor(name)).data(), sizeof(out));
        return out;
    }
    TempFolder folder_;
};

TEST_F(GgufSplit, AnyPartOpensTheWholeModel) {
    for (int number = 1; number <= 3; ++number) {
        const GgufFile file(path(number));
        EXPECT_EQ(file.path(), path(number));
        ASSERT_EQ(file.tensors().size(), 4u);
        EXPECT_EQ(file.tensors()[2].name, "c") << "in the order of the parts";
        EXPECT_EQ(file.get_string("name"), "whole");
        EXPECT_EQ(value(file, "a"), 1.0F);
        EXPECT_EQ(value(file, "b"), 2.0F);
        EXPECT_EQ(value(file, "d"), 4.0F);
    }
}

TEST_F(GgufSplit, MatricesOfAStackAreReadOneByOne) {
    const GgufFile file(path(1));
    const GgufTensor& stack = *file.find_tensor("c");
    for (std::int64_t e = 0; e < 3; ++e) {
        const ByteSpan bytes = file.slice(stack, e);
        ASSERT_EQ(bytes.size(), 8u);
        float values[2];
        std::memcpy(values, bytes.data(), sizeof(values));
        EXPECT_EQ(values[0], static_cast<float>(2 * e + 1));
        file.release(stack, bytes);
    }
    EXPECT_THROW(file.slice(stack, 3), InternalError);
    EXPECT_THROW(file.slice(*file.find_tensor("a"), 0), InternalError);
}

TEST_F(GgufSplit, AMissingPartIsNamed) {
    std::filesystem::remove(path(1));
    EXPECT_THAT(error_of_open(path(2)), AllOf(HasSubstr("part 1 of 3"), HasSubstr(path(1))));
    std::filesystem::remove(path(3));
    EXPECT_THAT(error_of_open(path(2)), HasSubstr(path(1)));
}

TEST_F(GgufSplit, AnotherNameIsRefusedWithTheOneThatItNeeds) {
    const std::string other = folder_ / "model.gguf";
    std::filesystem::copy(path(2), other);
    EXPECT_THAT(error_of_open(other), AllOf(HasSubstr("part 2 of 3"),
                                            HasSubstr("-00002-of-00003.gguf"), HasSubstr(other)));
}

TEST_F(GgufSplit, PartsThatDoNotBelongTogetherAreRefused) {
    const auto replaced = [&](int number, GgufBuilder gguf, const std::string& tensor) {
        gguf.tensor(tensor, {1}, 0, raw(1.0F));
        write_bytes(path(number), gguf.bytes());
        const std::string error = error_of_open(path(1));
        SetUp();
        return error;
    };
    EXPECT_THAT(replaced(3, part(1), "d"), AllOf(HasSubstr("part 2 of 3"), HasSubstr(path(3))));
    EXPECT_THAT(replaced(3, part(2, 4), "d"), HasSubstr("part 3 of 4"));
    EXPECT_THAT(replaced(3, GgufBuilder(), "d"), HasSubstr("part 1 of 1"));
    EXPECT_THAT(replaced(3, part(2, 3, 5), "d"),
                AllOf(HasSubstr("4 tensors"), HasSubstr("says 5")));
    EXPECT_THAT(replaced(3, part(2), "b"), AllOf(HasSubstr("two parts"), HasSubstr(path(2))));
    EXPECT_THAT(replaced(1, part(5), "a"), HasSubstr("part 6 of 3"));
    EXPECT_THAT(replaced(1, GgufBuilder().set("split.count", "x"), "a"), HasSubstr("split.count"));
}

}  // namespace
}  // namespace vq::test
