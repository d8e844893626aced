// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/side_terms.h"

#include <algorithm>
#include <utility>

#include "vq/tensor/tensor_fields.h"

namespace vq {

namespace {

constexpr int zero_code = 128;  // of the unsigned 8-bit factors

Array factor_array(std::vector<Index> shape, const std::vector<std::int8_t>& codes) {
    Array a{ElementType::u8, std::move(shape), {}};
    a.bytes.resize(codes.size());
    std::transform(codes.begin(), codes.end(), a.bytes.begin(),
                   [](std::int8_t c) { return static_cast<std::uint8_t>(c + zero_code); });
    return a;
}

std::vector<std::int8_t> read_factor(const TensorFields& fields, const std::string& name,
                                     Index count) {
    const Array& a = fields.array(name, count);
    if (a.type != ElementType::u8) fields.fail("the array " + name + " is not of 8-bit integers");
    std::vector<std::int8_t> codes(a.bytes.size());
    std::transform(a.bytes.begin(), a.bytes.end(), codes.begin(), [](std::uint8_t b) {
        return static_cast<std::int8_t>(static_cast<int>(b) - zero_code);
    });
    return codes;
}

std::vector<std::uint32_t> read_integers(const TensorFields& fields, const std::string& name,
                                         Index count, ElementType type) {
    const Array& a = fields.array(name, count);
    if (a.type != type) fields.fail("the array " + name + " has the wrong type");
    return a.to_u32();
}

LowRank parse_low_rank(const TensorFields& fields, Index rank, TensorShape shape) {
    LowRank out;
    out.rows = shape.rows;
    out.cols = shape.cols;
    out.left = read_factor(fields, "low_rank_left", shape.rows * rank);
    out.right = read_factor(fields, "low_rank_right", rank * shape.cols);
    out.scale = fields.floats("low_rank_scale", fields.array("low_rank_scale", rank));
    return out;
}

SparseWeights parse_sparse(const TensorFields& fields, Index count, TensorShape shape) {
    SparseWeights out;
    out.cols = shape.cols;
    out.begin = read_integers(fields, "sparse_rows", shape.rows + 1, ElementType::u32);
    if (out.begin.front() != 0 || out.begin.back() != count ||
        !std::is_sorted(out.begin.begin(), out.begin.end()))
        fields.fail("the array sparse_rows does not count the sparse weights");
    out.column = read_integers(fields, "sparse_cols", count, index_type(shape.cols));
    if (std::any_of(out.column.begin(), out.column.end(),
                    [&](std::uint32_t c) { return static_cast<Index>(c) >= shape.cols; }))
        fields.fail("a column of a sparse weight is out of range");
    out.value = fields.floats("sparse_values", fields.array("sparse_values", count));
    return out;
}

}  // namespace

void SideTerms::add_to(Matrix& out) const {
    if (low_rank.rank() > 0) out += low_rank.dense();
    if (sparse.count() > 0) sparse.add_to(out);
}

Json SideTerms::describe(std::map<std::string, Array>& arrays) const {
    Json out = {{"rank", low_rank.rank()}, {"sparse", sparse.count()}};
    const Index rank = low_rank.rank();
    if (rank > 0) {
        arrays["low_rank_left"] = factor_array({low_rank.rows, rank}, low_rank.left);
        arrays["low_rank_right"] = factor_array({rank, low_rank.cols}, low_rank.right);
        arrays["low_rank_scale"] = Array::from_f32({rank}, low_rank.scale.data());
    }
    if (sparse.count() > 0) {
        arrays["sparse_rows"] = Array::from_integers(ElementType::u32, sparse.begin);
        arrays["sparse_cols"] = Array::from_integers(index_type(sparse.cols), sparse.column);
        arrays["sparse_values"] = Array::from_f16({sparse.count()}, sparse.value.data());
    }
    return out;
}

SideTerms SideTerms::parse(const Json& description, const std::map<std::string, Array>& arrays,
                           TensorShape shape, const std::string& where) {
    const TensorFields fields(arrays, where);
    SideTerms out;
    const Index rank = fields.integer(description, "rank", 0, std::min(shape.rows, shape.cols));
    const Index count = fields.integer(description, "sparse", 0, shape.rows * shape.cols);
    if (rank > 0) out.low_rank = parse_low_rank(fields, rank, shape);
    if (count > 0) out.sparse = parse_sparse(fields, count, shape);
    return out;
}

SideTerms fit_side_terms(const Matrix& residual, const MatrixD& h, const SideSettings& settings,
                         std::uint64_t seed) {
    SideTerms out;
    Matrix rest = residual;
    if (settings.rank > 0) {
        out.low_rank = fit_low_rank(residual, h, settings.rank, seed);
        rest -= out.low_rank.dense();
    }
    const Index count = sparse_count(residual.rows(), residual.cols(), settings.sparse);
    if (count > 0) out.sparse = fit_sparse(rest, h, count);
    return out;
}

double side_bits(TensorShape shape, const SideSettings& settings) {
    const Index rank = std::min<Index>(settings.rank, std::min(shape.rows, shape.cols));
    const Index count = sparse_count(shape.rows, shape.cols, settings.sparse);
    double bits = 8.0 * static_cast<double>(rank * (shape.rows + shape.cols + 4));
    if (count > 0)
        bits += 32.0 * static_cast<double>(shape.rows + 1) +
                8.0 * static_cast<double>(count * (element_bytes(index_type(shape.cols)) + 2));
    return bits;
}

}  // namespace vq
