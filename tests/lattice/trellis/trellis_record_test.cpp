// SPDX-License-Identifier: Apache-2.0
// What a packed file may say of a trellis.
#include <gtest/gtest.h>

#include "decode/vqkit_decode.h"
#include "tests/lattice/trellis/trellis_case.h"

namespace vq {
namespace {

vqd_status open_with(const decode::SegmentRecord& record) {
    const test::PackedCase c = std::move(test::trellis_cases.small().front());
    PackedTensor t = c.tensor;
    t.segments.front().record = record;
    PackedBuffer buffer;
    PackedWriter writer(buffer.sink());
    writer.add_tensor(t);
    writer.finish();
    vqd_file* file = nullptr;
    const vqd_status status = vqd_open(buffer.data(), buffer.size(), &file, nullptr, 0);
    vqd_close(file);
    return status;
}

TEST(TrellisRecord, OnlyValuesThatKernelsComputeAreTaken) {
    const test::PackedCase c = std::move(test::trellis_cases.small().front());
    const decode::SegmentRecord good = c.tensor.segments.front().record;
    EXPECT_EQ(open_with(good), VQD_OK);
    for (const std::uint32_t value : {0, 2, 3}) {
        decode::SegmentRecord record = good;
        record.trellis_value = static_cast<decode::TrellisValue>(value);
        EXPECT_EQ(open_with(record), VQD_BAD_FILE) << value;
    }
    for (const std::uint32_t bits : {0, 5}) {
        decode::SegmentRecord record = good;
        record.trellis_bits = bits;
        EXPECT_EQ(open_with(record), VQD_BAD_FILE) << bits;
    }
    for (int field = 0; field < 3; ++field) {
        decode::SegmentRecord record = good;
        if (field == 0) record.multiplier[1] = 1;
        if (field == 1) record.addend[0] = 1;
        if (field == 2) record.addend[1] = 1;
        EXPECT_EQ(open_with(record), VQD_BAD_FILE) << field;
    }
    for (const std::uint32_t rows : {0, 16, 48, 128}) {
        decode::SegmentRecord record = good;
        record.tile_rows = rows;
        EXPECT_EQ(open_with(record), VQD_BAD_FILE) << rows;
    }
}

}  // namespace
}  // namespace vq
