// SPDX-License-Identifier: Apache-2.0
#include "io/files/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "io/files/atomic_folder.h"
#include "io/files/output_file.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(MappedFile, ShowsTheBytesOfTheFile) {
    const TempFolder folder;
    write_bytes(folder / "a", std::string("x\0y", 3));
    const MappedFile file(folder / "a");
    ASSERT_EQ(file.size(), 3);
    EXPECT_EQ(file.bytes()[0], 'x');
    EXPECT_EQ(file.bytes()[1], 0);
    EXPECT_EQ(file.bytes()[2], 'y');
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
    const TempFolder folder;
    write_bytes(folder / "a", "");
    const MappedFile file(folder / "a");
    EXPECT_EQ(file.size(), 0);
    EXPECT_EQ(read_text_file(folder / "a", 10), "");
}

TEST(MappedFile, FaultsOfThePathAreNamed) {
    const TempFolder folder;
    EXPECT_THAT(error_of([&] { MappedFile(folder / "none"); }),
                testing::AllOf(HasSubstr("No such file"), HasSubstr(folder / "none")));
    EXPECT_THAT(error_of([&] { MappedFile(folder.path()); }), HasSubstr("is a folder"));
    ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
    EXPECT_THAT(error_of([&] { MappedFile(folder / "pipe"); }), HasSubstr("not a regular file"));
}

TEST(MappedFile, ReleasedPagesReadTheSameAgain) {
    const TempFolder folder;
    std::string bytes(100000, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31);
    write_bytes(folder / "a", bytes);
    const MappedFile file(folder / "a");
    file.release(file.bytes());
    file.release(file.bytes().subspan(5000, 60000));
    file.release(file.bytes().subspan(1, 1));
    EXPECT_EQ(read_text_file(folder / "a", 1 << 20), bytes);
    EXPECT_TRUE(
        std::equal(file.bytes().begin(), file.bytes().end(), bytes.begin(),
                   [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }));
}

TEST(MappedFile, MovesKeepTheMappingAlive) {
    const TempFolder folder;
    write_bytes(folder / "a", "one");
    write_bytes(folder / "b", "two");
    MappedFile first(folder / "a");
    MappedFile second(std::move(first));
    EXPECT_EQ(second.bytes()[0], 'o');
    second = MappedFile(folder / "b");
    EXPECT_EQ(second.bytes()[0], 't');
    EXPECT_EQ(second.path(), folder / "b");
}

TEST(MappedFile, AFileThatBecameShorterIsAnErrorOnceAPartIsUsed) {
    const TempFolder folder;
    write_bytes(folder / "a", std::string(10000, 'x'));
    const MappedFile file(folder / "a");
    file.release(file.bytes());
    std::filesystem::resize_file(folder / "a", 5000);
    EXPECT_THAT(error_of([&] { file.release(file.bytes().first(100)); }),
                AllOf(HasSubstr("had 10000 bytes"), HasSubstr("5000"), HasSubstr(folder / "a")));
    // Another file under the same name is not this one.
    write_bytes(folder / "b", std::string(10000, 'x'));
    const MappedFile other(folder / "b");
    write_bytes(folder / "b", "short");
    other.release(other.bytes());
}

TEST(MappedFile, TextAboveTheLimitIsRefused) {
    const TempFolder folder;
    write_bytes(folder / "a", "12345");
    EXPECT_EQ(read_text_file(folder / "a", 5), "12345");
    EXPECT_THAT(error_of([&] { read_text_file(folder / "a", 4); }), HasSubstr("5 bytes"));
}

TEST(OutputFile, AppearsOnlyWhenCommitted) {
    const TempFolder folder;
    {
        OutputFile file(folder / "out");
        file.write("half");
        EXPECT_FALSE(std::filesystem::exists(folder / "out"));
    }
    EXPECT_EQ(folder.entries(), 0u) << "an abandoned file leaves nothing behind";
    write_bytes(folder / "out", "old and longer");
    OutputFile file(folder / "out");
    file.write("ne");
    file.write("w");
    file.commit();
    EXPECT_EQ(read_bytes(folder / "out"), "new");
    EXPECT_EQ(folder.entries(), 1u);
}

TEST(OutputFile, AHeaderIsWrittenLastAtItsPlace) {
    const TempFolder folder;
    OutputFile file(folder / "out");
    file.write("....");
    file.write_at(6, "xy", 2);
    file.write_at(0, "HD", 2);
    file.write("ab");  // goes on where it was
    file.commit();
    EXPECT_EQ(read_bytes(folder / "out"), "HD..abxy");
}

TEST(AtomicFolder, AppearsOnlyWhenCommitted) {
    const TempFolder folder;
    {
        const AtomicFolder half(folder / "out");
        write_text_file(half.file("a"), "x");
        EXPECT_FALSE(std::filesystem::exists(folder / "out"));
    }
    EXPECT_EQ(folder.entries(), 0u) << "an abandoned folder leaves nothing behind";
    std::filesystem::create_directories(folder / "out.tmp/left");  // by a run that was killed
    std::filesystem::create_directory(folder / "out");
    AtomicFolder whole(folder / "out/");
    write_text_file(whole.file("a"), "x");
    whole.commit();
    EXPECT_EQ(read_bytes(folder / "out/a"), "x");
    EXPECT_EQ(folder.entries(), 1u);
    EXPECT_THAT(error_of([&] { const AtomicFolder again(folder / "out"); }),
                HasSubstr("there already"));
    EXPECT_EQ(read_bytes(folder / "out/a"), "x");
    EXPECT_THAT(error_of([&] { const AtomicFolder nowhere(folder / "none/out"); }),
                HasSubstr(folder / "none/out"));
}

TEST(OutputFile, FaultsOfThePathAreNamed) {
    const TempFolder folder;
    EXPECT_THAT(error_of([&] { write_text_file(folder / "none/out", "x"); }),
                HasSubstr(folder / "none/out"));
    EXPECT_THAT(error_of([&] { write_text_file("/dev/full/out", "x"); }),
                HasSubstr("/dev/full/out"));
}

}  // namespace
}  // namespace vq::test
