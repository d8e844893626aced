// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace vq {
namespace {

// Values of the reference implementation of XXH3-128 (the digest of no bytes is published with it).
TEST(Hash, DigestOfNothingIsTheReferenceValue) {
    EXPECT_EQ(Hasher().hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, BytesStreamedInPiecesGiveTheSameDigest) {
    std::string data(10000, '\0');
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 37);
    Hasher whole;
    whole.add(data.data(), data.size());
    for (const std::size_t piece : {1UL, 7UL, 64UL, 4096UL}) {
        Hasher pieces;
        for (std::size_t at = 0; at < data.size(); at += piece)
            pieces.add(data.data() + at, std::min(piece, data.size() - at));
        EXPECT_EQ(pieces.hex(), whole.hex()) << piece;
    }
}

TEST(Hash, OneBitChangesTheDigest) {
    std::string data(1000, 'x');
    const std::string before = hash_hex(data);
    data[500] ^= 1;
    EXPECT_NE(hash_hex(data), before);
    EXPECT_EQ(before.size(), 32U);
}

TEST(Hash, TextsAreToldApartByWhereTheyEnd) {
    Hasher a, b;
    a.add(std::string_view("ab"));
    a.add(std::string_view("c"));
    b.add(std::string_view("a"));
    b.add(std::string_view("bc"));
    EXPECT_NE(a.hex(), b.hex());
}

}  // namespace
}  // namespace vq
