// SPDX-License-Identifier: Apache-2.0
// Files that are cut off, or whose every field may be a lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "decode/vqkit_decode.hpp"
#include "tests/decode/packed_cases.h"

namespace vq {
namespace {

using test::PackedCase;

std::vector<PackedCase> small_cases() {
    std::vector<PackedCase> out;
    for (const test::CodeCases* code : test::code_cases())
        for (PackedCase& c : code->small()) out.push_back(std::move(c));
    return out;
}

vqd_status try_open(const void* data, std::size_t bytes, vqd_file** file, std::string* why) {
    char message[256] = "";
    const vqd_status status = vqd_open(data, bytes, file, message, sizeof(message));
    *why = message;
    return status;
}

/// A copy of a case's file that can be damaged.
PackedBuffer copy_of(const PackedCase& c) {
    PackedBuffer copy;
    copy.sink()(0, c.file.data(), c.file.size());
    return copy;
}

void fix_checksums(PackedBuffer& file) {
    decode::FileHeader header;
    std::memcpy(&header, file.bytes(), sizeof(header));
    if (header.directory.offset <= file.size() &&
        header.directory.bytes <= file.size() - header.directory.offset)
        header.directory_checksum =
            decode::fnv1a(file.bytes() + header.directory.offset, header.directory.bytes);
    header.header_checksum = decode::fnv1a(&header, offsetof(decode::FileHeader, header_checksum));
    std::memcpy(file.bytes(), &header, sizeof(header));
}

TEST(HostileFile, EveryTruncationIsRefused) {
    for (const PackedCase& c : small_cases())
        for (std::size_t n = 0; n < c.file.size(); n += n < 256 ? 1 : 61) {
            vqd_file* file = nullptr;
            std::string why;
            ASSERT_EQ(try_open(c.file.data(), n, &file, &why), VQD_BAD_FILE) << n;
            ASSERT_EQ(file, nullptr);
            EXPECT_FALSE(why.empty());
        }
}

TEST(HostileFile, EveryFlippedByteOfHeaderAndDirectoryIsNoticed) {
    for (const PackedCase& c : small_cases()) {
        decode::FileHeader header;
        std::memcpy(&header, c.file.data(), sizeof(header));
        PackedBuffer copy = copy_of(c);
        const auto refused = [&](std::size_t at) {
            copy.bytes()[at] ^= 0x20u;
            vqd_file* file = nullptr;
            std::string why;
            EXPECT_EQ(try_open(copy.data(), copy.size(), &file, &why), VQD_BAD_FILE) << at;
            copy.bytes()[at] ^= 0x20u;
        };
        for (std::size_t i = 0; i < sizeof(header); ++i) refused(i);
        for (std::size_t i = 0; i < header.directory.bytes; ++i)
            refused(header.directory.offset + i);
    }
}

/// Fields with any content under right checksums: refused, or harmless when used.
TEST(HostileFile, CodesDoNotBeginAtTheHeader) {
    for (const PackedCase& c : small_cases()) {
        PackedBuffer copy = copy_of(c);
        decode::FileHeader header;
        std::memcpy(&header, copy.data(), sizeof(header));
        const std::uint64_t record =
            header.directory.offset + header.blobs * sizeof(decode::BlobRecord) +
            header.codebooks * sizeof(decode::CodebookRecord) + sizeof(decode::TensorRecord) +
            offsetof(decode::SegmentRecord, codes);
        for (const std::uint64_t offset : {0, 64}) {
            std::memcpy(copy.bytes() + record, &offset, sizeof(offset));
            fix_checksums(copy);
            vqd_file* file = nullptr;
            std::string why;
            EXPECT_EQ(try_open(copy.data(), copy.size(), &file, &why), VQD_BAD_FILE) << c.name;
            EXPECT_NE(why.find("outside"), std::string::npos) << why;
        }
    }
}

TEST(HostileFile, LiesUnderRightChecksumsDoNoHarm) {
    std::size_t opened = 0;
    std::size_t refused = 0;
    std::uint64_t draw = 0;
    for (const PackedCase& c : small_cases()) {
        decode::FileHeader header;
        std::memcpy(&header, c.file.data(), sizeof(header));
        for (int round = 0; round < 3000; ++round) {
            PackedBuffer copy = copy_of(c);
            const int changes = 1 + static_cast<int>(random_bits(5, draw++) % 3);
            for (int k = 0; k < changes; ++k) {
                const std::uint64_t bits = random_bits(6, draw++);
                const bool in_header = bits % 8 == 0;
                const std::size_t at =
                    in_header ? 8 + bits / 8 % (sizeof(header) - 8)
                              : header.directory.offset + bits / 8 % header.directory.bytes;
                const std::uint64_t value = random_bits(7, draw++);
                copy.bytes()[at] = value % 4 == 0   ? 0xFF
                                   : value % 4 == 1 ? 0
                                                    : static_cast<std::uint8_t>(value >> 8);
            }
            fix_checksums(copy);
            vqd_file* file = nullptr;
            std::string why;
            if (try_open(copy.data(), copy.size(), &file, &why) != VQD_OK) {
                ++refused;
                EXPECT_FALSE(why.empty());
                continue;
            }
            ++opened;
            for (std::size_t t = 0; t < vqd_tensor_count(file); ++t) {
                vqd_tensor_info info{};
                ASSERT_EQ(vqd_tensor(file, t, &info), VQD_OK);
                const std::vector<float> x(static_cast<std::size_t>(info.cols), 1.0F);
                std::vector<float> y(static_cast<std::size_t>(info.rows));
                std::vector<std::byte> scratch(vqd_scratch_bytes(file, t, 1));
                EXPECT_EQ(vqd_matvec(file, t, VQD_INT8, x.data(), y.data(), scratch.data(),
                                     scratch.size(), nullptr),
                          VQD_OK);
            }
            vqd_close(file);
        }
    }
    EXPECT_GT(refused, opened / 8);
    EXPECT_GT(opened, 0u);
}

TEST(HostileFile, UnalignedMemoryIsRefused) {
    const PackedCase c = std::move(small_cases().front());
    PackedBuffer shifted;
    shifted.sink()(4, c.file.data(), c.file.size());
    vqd_file* file = nullptr;
    std::string why;
    EXPECT_EQ(try_open(shifted.bytes() + 4, c.file.size(), &file, &why), VQD_BAD_FILE);
    EXPECT_THAT(why, testing::HasSubstr("64 bytes"));
}

TEST(HostileFile, NullsAreRefused) {
    vqd_file* file = nullptr;
    EXPECT_EQ(vqd_open(nullptr, 100, &file, nullptr, 0), VQD_BAD_ARGUMENT);
    const PackedCase c = std::move(small_cases().front());
    EXPECT_EQ(vqd_open(c.file.data(), c.file.size(), nullptr, nullptr, 0), VQD_BAD_ARGUMENT);
    vqd_close(nullptr);
}

}  // namespace
}  // namespace vq
