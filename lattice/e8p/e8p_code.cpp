// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p_code.h"

#include <algorithm>

#include "base/error.h"
#include "lattice/e8p/e8p_table.h"

namespace vq {

namespace {

/// e^T M e, or |e|^2 where there is no metric; size (8).
float cost(const float* e, const float* metric) {
    float sum = 0;
    for (int p = 0; p < e8_dim; ++p) {
        float row = metric == nullptr ? e[p] : 0;
        for (int q = 0; metric != nullptr && q < e8_dim; ++q) row += metric[p * e8_dim + q] * e[q];
        sum += e[p] * row;
    }
    return sum;
}

}  // namespace

const std::vector<std::vector<int>>& E8pCode::stage_choices() {
    static const std::vector<std::vector<int>> all = {{16}, {16, 8}, {16, 16}};
    return all;
}

E8pCode::E8pCode(std::vector<int> stage_bits, int beam)
    : stage_bits_(std::move(stage_bits)),
      beam_(beam),
      short_vectors_(e8_short_vectors().data(), 256, e8_dim) {
    VQ_ASSERT(beam >= 1 && beam <= Assigner::max_t);
    const auto& choices = stage_choices();
    const auto found = std::find(choices.begin(), choices.end(), stage_bits_);
    VQ_ASSERT(found != choices.end());
    // The gains with the least error on Gaussian vectors; the minimum is flat (+-.01).
    static const std::vector<std::vector<float>> gains = {{0.97F}, {0.99F, 0.57F}, {1.1F, 0.3F}};
    gains_ = gains[static_cast<std::size_t>(found - choices.begin())];
    for (const int b : stage_bits_) bits_ += b;
}

std::uint64_t E8pCode::encode_one(const float* x, const float* metric) const {
    const bool two = stage_bits_.size() == 2;
    // The nearest point is the best where nothing comes after it and distance is all that counts.
    // Else it is one candidate of several; of the last stage fewer, since every pair is decoded and
    // compared.
    const int first = two || metric != nullptr ? beam_ : 1;
    const int second = metric != nullptr ? std::max(1, beam_ / 4) : 1;
    float scaled[e8_dim];
    float error[e8_dim];
    std::uint16_t codes[Assigner::max_t];
    std::uint16_t next[Assigner::max_t];
    std::uint32_t next_short[Assigner::max_t];
    float distance[Assigner::max_t];
    for (int i = 0; i < e8_dim; ++i) scaled[i] = x[i] / gains_[0];
    e8p_nearest(scaled, first, codes, distance);
    if (first == 1 && !two) return codes[0];
    std::uint64_t best = 0;
    float least = 0;
    bool any = false;
    const auto consider = [&](std::uint64_t code) {
        float xhat[e8_dim];
        // By decode(): what is compared is, to the last bit, what will be read back.
        decode(&code, 1, xhat);
        for (int i = 0; i < e8_dim; ++i) error[i] = x[i] - xhat[i];
        const float c = cost(error, metric);
        if (any && !(c < least)) return;
        any = true;
        least = c;
        best = code;
    };
    for (int a = 0; a < first; ++a) {
        if (!two) {
            consider(codes[a]);
            continue;
        }
        float point[e8_dim];
        e8p_decode(codes[a], point);
        for (int i = 0; i < e8_dim; ++i) scaled[i] = (x[i] - point[i] * gains_[0]) / gains_[1];
        if (stage_bits_[1] == 16) {
            e8p_nearest(scaled, second, next, distance);
        } else {
            short_vectors_.nearest_t(scaled, 1, second, next_short, nullptr);
            for (int b = 0; b < second; ++b) next[b] = static_cast<std::uint16_t>(next_short[b]);
        }
        for (int b = 0; b < second; ++b)
            consider(codes[a] | static_cast<std::uint64_t>(next[b]) << 16);
    }
    return best;
}

void E8pCode::encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                     float* xhat) const {
    for (Index i = 0; i < n; ++i) codes[i] = encode_one(x + i * e8_dim, metric);
    decode(codes, n, xhat);
}

void E8pCode::decode(const std::uint64_t* codes, Index n, float* xhat) const {
    float point[e8_dim];
    for (Index i = 0; i < n; ++i) {
        float* out = xhat + i * e8_dim;
        e8p_decode(static_cast<std::uint16_t>(codes[i]), point);
        for (int j = 0; j < e8_dim; ++j) out[j] = point[j] * gains_[0];
        if (stage_bits_.size() == 1) continue;
        const std::uint64_t rest = codes[i] >> 16;
        const float* p = point;
        if (stage_bits_[1] == 16)
            e8p_decode(static_cast<std::uint16_t>(rest), point);
        else
            p = e8_short_vectors().data() + static_cast<Index>(rest & 0xFF) * e8_dim;
        for (int j = 0; j < e8_dim; ++j) out[j] += p[j] * gains_[1];
    }
}

Json E8pCode::describe() const {
    return {{"code", "e8p"}, {"dim", e8_dim}, {"stage_bits", stage_bits_}, {"gains", gains_}};
}

}  // namespace vq
