#include "vq/side_terms.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace vq {

namespace {

constexpr int zero_code = 128;  // of the unsigned 8-bit factors

template <class T>
Array array_of(ElementType type, std::vector<Index> shape, const T* values, std::size_t count) {
    Array a;
    a.type = type;
    a.shape = std::move(shape);
    a.bytes.resize(count * sizeof(T));
    if (count > 0) std::memcpy(a.bytes.data(), values, a.bytes.size());
    return a;
}

Array factor_array(std::vector<Index> shape, const std::vector<std::int8_t>& codes) {
    std::vector<std::uint8_t> bytes(codes.size());
    std::transform(codes.begin(), codes.end(), bytes.begin(),
                   [](std::int8_t c) { return static_cast<std::uint8_t>(c + zero_code); });
    return array_of(ElementType::u8, std::move(shape), bytes.data(), bytes.size());
}

bool short_columns(Index cols) {
    return cols <= 65536;
}

/// Reads the arrays with checks.
class Reader {
public:
    Reader(const std::map<std::string, Array>& arrays, std::string where)
        : arrays_(arrays), where_(std::move(where)) {}

    [[noreturn]] void fail(const std::string& what) const {
        throw Error(what, where_, "the store is damaged; run `vq verify`, or quantize again");
    }
    Index integer(const Json& from, const char* key, Index most) const {
        if (!from.is_object() || !from.contains(key) || !from[key].is_number_integer())
            fail(std::string("no ") + key + " of a side term");
        const auto value = from[key].get<Index>();
        if (value < 0 || value > most) fail(std::string(key) + " is out of range");
        return value;
    }
    const Array& array(const std::string& name, Index count) const {
        const auto found = arrays_.find(name);
        if (found == arrays_.end()) fail("the array " + name + " is missing");
        if (found->second.count() != count) fail("the array " + name + " has the wrong length");
        return found->second;
    }
    std::vector<float> floats(const std::string& name, Index count) const {
        const Array& a = array(name, count);
        if (!a.is_float()) fail("the array " + name + " is not of a float type");
        std::vector<float> values = a.to_f32();
        if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }))
            fail("a value of the array " + name + " is not finite");
        return values;
    }
    std::vector<std::int8_t> factor(const std::string& name, Index count) const {
        const Array& a = array(name, count);
        if (a.type != ElementType::u8) fail("the array " + name + " is not of 8-bit integers");
        std::vector<std::int8_t> codes(a.bytes.size());
        std::transform(a.bytes.begin(), a.bytes.end(), codes.begin(), [](std::uint8_t b) {
            return static_cast<std::int8_t>(static_cast<int>(b) - zero_code);
        });
        return codes;
    }
    std::vector<std::uint32_t> integers(const std::string& name, Index count,
                                        ElementType type) const {
        const Array& a = array(name, count);
        if (a.type != type) fail("the array " + name + " has the wrong type");
        std::vector<std::uint32_t> out(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < out.size(); ++i)
            if (type == ElementType::u16) {
                std::uint16_t x = 0;
                std::memcpy(&x, &a.bytes[2 * i], 2);
                out[i] = x;
            } else {
                std::memcpy(&out[i], &a.bytes[4 * i], 4);
            }
        return out;
    }

private:
    const std::map<std::string, Array>& arrays_;
    std::string where_;
};

LowRank parse_low_rank(const Reader& read, Index rank, TensorShape shape) {
    LowRank out;
    out.rows = shape.rows;
    out.cols = shape.cols;
    out.left = read.factor("low_rank_left", shape.rows * rank);
    out.right = read.factor("low_rank_right", rank * shape.cols);
    out.scale = read.floats("low_rank_scale", rank);
    return out;
}

SparseWeights parse_sparse(const Reader& read, Index count, TensorShape shape) {
    SparseWeights out;
    out.cols = shape.cols;
    out.begin = read.integers("sparse_rows", shape.rows + 1, ElementType::u32);
    if (out.begin.front() != 0 || out.begin.back() != count ||
        !std::is_sorted(out.begin.begin(), out.begin.end()))
        read.fail("the array sparse_rows does not count the sparse weights");
    out.column = read.integers("sparse_cols", count,
                               short_columns(shape.cols) ? ElementType::u16 : ElementType::u32);
    if (std::any_of(out.column.begin(), out.column.end(),
                    [&](std::uint32_t c) { return static_cast<Index>(c) >= shape.cols; }))
        read.fail("a column of a sparse weight is out of range");
    out.value = read.floats("sparse_values", count);
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
        arrays["sparse_rows"] = array_of(ElementType::u32, {sparse.rows() + 1}, sparse.begin.data(),
                                         sparse.begin.size());
        const std::vector<std::uint16_t> narrow(sparse.column.begin(), sparse.column.end());
        arrays["sparse_cols"] =
            short_columns(sparse.cols)
                ? array_of(ElementType::u16, {sparse.count()}, narrow.data(), narrow.size())
                : array_of(ElementType::u32, {sparse.count()}, sparse.column.data(),
                           sparse.column.size());
        arrays["sparse_values"] = Array::from_f16({sparse.count()}, sparse.value.data());
    }
    return out;
}

SideTerms SideTerms::parse(const Json& description, const std::map<std::string, Array>& arrays,
                           TensorShape shape, const std::string& where) {
    const Reader read(arrays, where);
    SideTerms out;
    const Index rank = read.integer(description, "rank", std::min(shape.rows, shape.cols));
    const Index count = read.integer(description, "sparse", shape.rows * shape.cols);
    if (rank > 0) out.low_rank = parse_low_rank(read, rank, shape);
    if (count > 0) out.sparse = parse_sparse(read, count, shape);
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
                (short_columns(shape.cols) ? 32.0 : 48.0) * static_cast<double>(count);
    return bits;
}

}  // namespace vq
