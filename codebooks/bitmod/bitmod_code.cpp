// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_code.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bits.h"
#include "base/error.h"

namespace vq {

namespace {

// For weights of variance 1: the largest plain value comes to 2 (3 bits) and 3 (4 bits) standard
// deviations. Scales are searched around that.
constexpr float gain = 0.5F;

std::vector<float> scaled(std::vector<float> values) {
    for (float& v : values) v *= gain;
    return values;
}

}  // namespace

std::vector<float> BitmodCode::magnitudes(int bits) {
    VQ_ASSERT(bits == 3 || bits == 4);
    return bits == 3 ? scaled({0, 1, 2, 4}) : scaled({0, 0.5F, 1, 1.5F, 2, 3, 4, 6});
}

std::vector<float> BitmodCode::specials(int bits) {
    VQ_ASSERT(bits == 3 || bits == 4);
    return bits == 3 ? scaled({-3, 3, -6, 6}) : scaled({-5, 5, -8, 8});
}

BitmodCode::BitmodCode(int dim, int bits) : dim_(dim), bits_(bits), values_{} {
    VQ_ASSERT(dim >= 1 && dim <= 1024);
    const std::vector<float> m = magnitudes(bits);
    const std::vector<float> special = specials(bits);
    for (std::size_t i = 0; i + 1 < m.size(); ++i) thresholds_.push_back((m[i] + m[i + 1]) / 2);
    for (std::size_t t = 0; t < choices; ++t) {
        for (std::size_t i = 0; i < m.size(); ++i) {
            values_[t][i] = m[i];
            values_[t][m.size() + i] = -m[i];
        }
        // In the place of minus zero, a code that would stand for nothing new.
        values_[t][m.size()] = special[t];
    }
}

int BitmodCode::nearest(float x) const {
    const float size = std::abs(x);
    int i = 0;
    for (const float t : thresholds_) i += size > t ? 1 : 0;
    // Small negative weights take plain zero: the code of minus zero is the special value's.
    return i > 0 && x < 0 ? i + special_code(bits_) : i;
}

int BitmodCode::nearest(float x, int choice) const {
    const int plain = nearest(x);
    const int special = special_code(bits_);
    const auto& values = values_[static_cast<std::size_t>(choice)];
    return std::abs(x - values[static_cast<std::size_t>(special)]) <
                   std::abs(x - values[static_cast<std::size_t>(plain)])
               ? special
               : plain;
}

double BitmodCode::encode_diagonal(const float* x, const LocalMetric& metric, int choice,
                                   std::uint8_t* found) const {
    const auto& values = values_[static_cast<std::size_t>(choice)];
    double loss = 0;
    for (int j = 0; j < dim_; ++j) {
        const int code = nearest(x[j], choice);
        found[j] = static_cast<std::uint8_t>(code);
        const double e = x[j] - values[static_cast<std::size_t>(code)];
        loss += metric.diagonal[static_cast<std::size_t>(j)] * e * e;
    }
    return loss;
}

double BitmodCode::encode_plane(const float* x, const LocalMetric& metric, int choice, double stop,
                                float* targets, std::uint8_t* found) const {
    const auto& values = values_[static_cast<std::size_t>(choice)];
    std::copy_n(x, dim_, targets);
    double loss = 0;
    // e^T M e = sum_j D_j (e_j + sum_{k>j} L_kj e_k)^2.
    // Terms are squares: a choice that is behind already stays behind.
    for (int j = dim_ - 1; j >= 0 && loss < stop; --j) {
        const int code = nearest(targets[j], choice);
        found[j] = static_cast<std::uint8_t>(code);
        const float value = values[static_cast<std::size_t>(code)];
        const double r = targets[j] - value;
        loss += metric.diagonal[static_cast<std::size_t>(j)] * r * r;
        const float e = x[j] - value;
        const float* row = metric.lower.data() + static_cast<Index>(j) * dim_;
        for (int i = 0; i < j; ++i) targets[i] += row[i] * e;
    }
    return loss;
}

void BitmodCode::pack(int choice, const std::uint8_t* found, std::uint64_t* code) const {
    std::fill_n(code, words(), 0);
    code[0] = static_cast<std::uint64_t>(choice);
    for (int j = 0; j < dim_; ++j) write_field(code, choice_bits + j * bits_, bits_, found[j]);
}

void BitmodCode::encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                        float* xhat) const {
    const LocalMetric m(metric, dim_);
    const bool plane = m.lower.size() > 0;
    std::vector<float> targets(static_cast<std::size_t>(dim_));
    std::vector<std::uint8_t> found(static_cast<std::size_t>(dim_));
    std::vector<std::uint8_t> best(static_cast<std::size_t>(dim_), 0);
    for (Index i = 0; i < n; ++i) {
        const float* xi = x + i * dim_;
        double least = std::numeric_limits<double>::infinity();
        int kept = 0;
        for (int t = 0; t < choices; ++t) {
            const double loss = plane ? encode_plane(xi, m, t, least, targets.data(), found.data())
                                      : encode_diagonal(xi, m, t, found.data());
            if (!(loss < least)) continue;
            least = loss;
            kept = t;
            best.swap(found);
        }
        pack(kept, best.data(), codes + i * words());
        for (int j = 0; j < dim_; ++j)
            xhat[i * dim_ + j] = values_[static_cast<std::size_t>(kept)][best.data()[j]];
    }
}

void BitmodCode::decode(const std::uint64_t* codes, Index n, float* xhat) const {
    for (Index i = 0; i < n; ++i) {
        const std::uint64_t* code = codes + i * words();
        const auto& values = values_[read_field(code, 0, choice_bits)];
        for (int j = 0; j < dim_; ++j)
            xhat[i * dim_ + j] = values[read_field(code, choice_bits + j * bits_, bits_)];
    }
}

bool BitmodCode::valid(const std::uint64_t* code) const {
    const int used = bits() % 64;
    return used == 0 || code[words() - 1] >> used == 0;
}

Json BitmodCode::describe() const {
    return {{"code", "bitmod"},
            {"dim", dim_},
            {"bits", bits_},
            {"magnitudes", magnitudes(bits_)},
            {"specials", specials(bits_)}};
}

}  // namespace vq
