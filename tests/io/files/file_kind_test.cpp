// SPDX-License-Identifier: Apache-2.0
#include "io/files/file_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/checkpoints/weight_source.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string pointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// Every reader of files, given a file of this content in place of its own.
class WrongFile : public ::testing::Test {
protected:
    std::string error_with(const std::string& name, const std::string& content) {
        const std::string folder = folder_ / "model";
        std::filesystem::remove_all(folder);
        write_hf_folder(folder, TinyModel());
        write_bytes(folder + "/" + name, content);
        return error_of([&] { open_checkpoint(folder); });
    }
    TempFolder folder_;
};

TEST_F(WrongFile, APointerIsNamedWhereverItLies) {
    for (const char* name : {"model.safetensors", "config.json", "tokenizer.json",
                             "tokenizer.model", "generation_config.json"})
        EXPECT_THAT(error_with(name, pointer), AllOf(HasSubstr("Git LFS pointer"), HasSubstr(name),
                                                     HasSubstr("git lfs pull")));
    const std::string gguf = folder_ / "model.gguf";
    write_bytes(gguf, pointer);
    EXPECT_THAT(error_of([&] { open_checkpoint(gguf); }), HasSubstr("Git LFS pointer"));
    EXPECT_THAT(error_of([&] { GgufFile file(gguf); }), HasSubstr("Git LFS pointer"));
}

TEST_F(WrongFile, OtherFilesInThePlaceOfWeightsAreNamed) {
    const std::string zip("PK\x03\x04\x14\0\0\0\0\0archive/data.pkl", 26);
    EXPECT_THAT(error_with("model.safetensors", zip), HasSubstr("ZIP archive"));
    EXPECT_THAT(error_with("model.safetensors", "<!DOCTYPE html><title>Sign in</title>"),
                HasSubstr("web page"));
    EXPECT_THAT(error_with("model.safetensors", "\x80\x02}q\x01X\x0Cmodel."), HasSubstr("pickle"));
    EXPECT_THAT(error_with("model.safetensors", std::string(10000, '\0')), HasSubstr("zeros"));
    EXPECT_THAT(error_with("model.safetensors", std::string("\x1F\x8B\x08\0\0\0\0\0\0\x03", 10)),
                HasSubstr("gzip"));
    EXPECT_THAT(error_with("config.json", std::string("\xFF\xFE{\0}\0", 6)), HasSubstr("UTF-16"));
    const std::string old = folder_ / "old.bin";
    write_bytes(old, "tjgg\x03" + std::string(100, '\x01'));
    EXPECT_THAT(error_of([&] { open_checkpoint(old); }), HasSubstr("before GGUF"));
}

TEST_F(WrongFile, GgufFilesThatHoldNoLanguageModelAreNamed) {
    const auto error_with_pairs = [&](GgufBuilder gguf, bool tensor) {
        if (tensor) gguf.tensor("v.patch", {1}, 0, raw(1.0F));
        write_bytes(folder_ / "other.gguf", gguf.bytes());
        return error_of([&] { open_checkpoint(folder_ / "other.gguf"); });
    };
    const std::vector<std::string> tokens{"a"};
    EXPECT_THAT(error_with_pairs(GgufBuilder().set("general.architecture", "clip"), true),
                HasSubstr("vision"));
    EXPECT_THAT(
        error_with_pairs(
            GgufBuilder().set("general.architecture", "llama").set("general.type", "adapter"),
            true),
        HasSubstr("LoRA"));
    EXPECT_THAT(error_with_pairs(GgufBuilder().set("general.type", "imatrix"), true),
                HasSubstr("importance matrix"));
    EXPECT_THAT(
        error_with_pairs(
            GgufBuilder().set("general.architecture", "llama").set("tokenizer.ggml.tokens", tokens),
            false),
        HasSubstr("a vocabulary and no weights"));
    EXPECT_THAT(error_with_pairs(GgufBuilder().set("general.name", "x"), true),
                HasSubstr("general.architecture"));
}

TEST_F(WrongFile, FilesOfTheFormatItselfAreNone) {
    EXPECT_EQ(recognized_kind({}), nullptr);
    const std::string good = safetensors_bytes("{}", 0);
    EXPECT_EQ(recognized_kind({reinterpret_cast<const std::uint8_t*>(good.data()), good.size()}),
              nullptr);
    // A header whose length begins as another format does.
    const std::string folder = folder_ / "long";
    std::filesystem::create_directories(folder);
    std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    header.resize(0x4B50, ' ');
    write_bytes(folder + "/x.safetensors", safetensors_bytes(header, 4));
    EXPECT_EQ(SafetensorsFile(folder + "/x.safetensors").tensors().size(), 1u);
}

}  // namespace
}  // namespace vq::test
