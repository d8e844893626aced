// SPDX-License-Identifier: Apache-2.0
#include "apps/lost_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/io/formats_fixture.h"

namespace vq::apps {
namespace {

TEST(LostPages, ReadAsZerosAndTheFileIsNamed) {
    const test::TempFolder folder;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    test::write_bytes(folder / "model", std::string(8 * page, 'x'));
    const MappedFile file(folder / "model");
    survive_lost_pages();
    EXPECT_FALSE(pages_were_lost());
    std::filesystem::resize_file(folder / "model", 2 * page);
    EXPECT_EQ(file.bytes()[page], 'x');
    EXPECT_FALSE(pages_were_lost());
    for (std::size_t i = 3; i < 8; ++i) EXPECT_EQ(file.bytes()[i * page + 5], 0);
    EXPECT_TRUE(pages_were_lost());
    EXPECT_THAT(lost_pages_message(), testing::HasSubstr(folder / "model"));
    EXPECT_EQ(file.bytes()[page], 'x') << "what is there still reads as it is";
}

TEST(LostPages, AFileThatIsGoneFromItsStartIsNamedToo) {
    const test::TempFolder folder;
    test::write_bytes(folder / "a", std::string(100, 'x'));
    test::write_bytes(folder / "b", std::string(100, 'y'));
    const MappedFile first(folder / "a");
    const MappedFile second(folder / "b");
    survive_lost_pages();
    std::filesystem::resize_file(folder / "b", 0);
    EXPECT_EQ(second.bytes()[0], 0);
    EXPECT_EQ(first.bytes()[0], 'x');
    EXPECT_TRUE(pages_were_lost());
    EXPECT_THAT(lost_pages_message(), testing::HasSubstr("became shorter"));
}

}  // namespace
}  // namespace vq::apps
