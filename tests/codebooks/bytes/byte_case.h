// SPDX-License-Identifier: Apache-2.0
// Cases of matrices in int8.
#pragma once

#include "codebooks/bytes/byte_code.h"
#include "codebooks/bytes/byte_pack.h"
#include "codebooks/bytes/bytes.h"
#include "tests/decode/packed_case.h"

namespace vq::test {

/// W (m, n) as codes of ByteCode, the last group of a row filled up with zeros.
inline std::vector<std::uint64_t> codes_of_bytes(const Matrix& w) {
    const ByteCode code;
    const Index groups = (w.cols() + code.dim() - 1) / code.dim();
    Matrix padded = Matrix::Zero(w.rows(), groups * code.dim());
    padded.leftCols(w.cols()) = w;
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(w.rows() * groups * code.words()));
    Matrix unused(padded.rows(), padded.cols());
    code.encode(padded.data(), w.rows() * groups, nullptr, codes.data(), unused.data());
    return codes;
}

/// Multiples of a scale that rounding to int8 finds again: the largest of a block is 127 of them.
inline PackedCase byte_case(const Shape& shape, std::uint64_t seed) {
    PackedCase c;
    const Index rows = round_up(shape.rows, decode::byte_tile);
    Matrix values(rows, shape.cols);
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < shape.cols; ++j) {
            const Index block = r * ((shape.cols + 31) / 32) + j / 32;
            const float scale = round_to_half(static_cast<float>(
                0.01 + 0.01 * random_uniform(seed + 4, static_cast<std::uint64_t>(block))));
            const std::uint64_t bits =
                random_bits(seed + 5, static_cast<std::uint64_t>(r * shape.cols + j));
            const auto q = static_cast<float>(static_cast<int>(bits % 255) - 127);
            values(r, j) = scale * (j % 32 == 0 ? (q < 0 ? -127.0F : 127.0F) : q);
        }
    c.coded = values.cast<double>();
    PackedSegment s;
    s.record.code = decode::bytes_code.kind;
    s.record.cols = static_cast<std::uint64_t>(shape.cols);
    s.record.dim = 1;
    s.codes = byte_layout(codes_of_bytes(values), rows, shape.cols, (shape.cols + 31) / 32);
    c.tensor.segments.push_back(std::move(s));
    c.name = case_name(decode::bytes_code, shape, "");
    finish_case(c, shape, seed);
    return c;
}

extern const CodeCases byte_cases;

}  // namespace vq::test
