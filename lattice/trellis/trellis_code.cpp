// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/trellis_code.h"

#include <algorithm>

#include "base/bits.h"
#include "base/error.h"
#include "lattice/trellis/trellis_function.h"

namespace vq {

namespace {

// Rows: kernels take 32 at a time. A long tile makes the seam, whose state is not chosen freely,
// cheap; a very long one costs padding and gives threads less to share.
constexpr int tile_unit = 32;
constexpr int shortest_tile = 160;
constexpr int longest_tile = 320;

/// Searches of one thread reuse their memory: it is larger than what malloc keeps at hand.
ViterbiWorkspace& workspace() {
    thread_local ViterbiWorkspace own;
    return own;
}

std::vector<float> trellis_values(int bits, std::uint32_t multiplier) {
    std::vector<float> values(trellis_states);
    for (int s = 0; s < trellis_states; ++s)
        values[static_cast<std::size_t>(s)] =
            static_cast<float>(trellis_integer(static_cast<std::uint16_t>(s), multiplier)) *
            trellis_gain(bits);
    return values;
}

/// Bits [at, at + count) of a cyclic stream of `size` bits, count <= 16 <= size.
std::uint32_t window(const std::uint64_t* stream, int size, int at, int count) {
    std::uint32_t out = 0;
    // A window may cross the end of a word and the end of the stream.
    for (int done = 0; done < count;) {
        const int from = (at + done) % size;
        const int take = std::min({count - done, 64 - from % 64, size - from});
        const std::uint64_t piece = stream[from / 64] >> (from % 64) & ((1ull << take) - 1);
        out |= static_cast<std::uint32_t>(piece) << done;
        done += take;
    }
    return out;
}

}  // namespace

TrellisCode::TrellisCode(int steps, int bits, int tail, std::uint32_t multiplier)
    : steps_(steps),
      bits_(bits),
      tail_(tail),
      multiplier_(multiplier),
      values_(std::make_shared<const std::vector<float>>(trellis_values(bits, multiplier))),
      viterbi_(std::make_shared<const Viterbi>(*values_, bits)) {
    VQ_ASSERT(bits >= 1 && bits <= 4 && steps * bits >= trellis_state_bits);
}

void TrellisCode::finish(const std::uint16_t* states, std::uint64_t* code, float* xhat) const {
    std::fill_n(code, words(), 0);
    for (int r = 0; r < steps_; ++r) {
        // The search runs from the last weight to the first, so that bits enter a state from below
        // and a decoder finds it as a plain window of the stream.
        const std::uint16_t state = states[steps_ - 1 - r];
        const std::uint64_t own = state & ((1u << bits_) - 1);
        write_field(code, r * bits_, bits_, own);
        xhat[r] = (*values_)[state];
    }
}

void TrellisCode::encode(const float* x, Index n, const float* /*metric*/, std::uint64_t* codes,
                         float* xhat) const {
    std::vector<float> reversed(static_cast<std::size_t>(steps_));
    std::vector<std::uint16_t> states(static_cast<std::size_t>(steps_));
    for (Index i = 0; i < n; ++i) {
        std::reverse_copy(x + i * steps_, x + (i + 1) * steps_, reversed.begin());
        viterbi_->encode(reversed.data(), steps_, tail_, workspace(), states.data());
        finish(states.data(), codes + i * words(), xhat + i * steps_);
    }
}

void TrellisCode::improve(const float* x, Index n, const float* /*metric*/, std::uint64_t* codes,
                          float* xhat) const {
    std::vector<float> reversed(static_cast<std::size_t>(steps_));
    std::vector<std::uint16_t> states(static_cast<std::size_t>(steps_));
    for (Index i = 0; i < n; ++i) {
        std::reverse_copy(x + i * steps_, x + (i + 1) * steps_, reversed.begin());
        // The state before the first step is that of weight 0, the last step's.
        const std::uint32_t seam =
            window(codes + i * words(), steps_ * bits_, 0, trellis_state_bits - bits_);
        viterbi_->encode_with_overlap(reversed.data(), steps_, static_cast<int>(seam), workspace(),
                                      states.data());
        finish(states.data(), codes + i * words(), xhat + i * steps_);
    }
}

void TrellisCode::decode(const std::uint64_t* codes, Index n, float* xhat) const {
    const int size = steps_ * bits_;
    for (Index i = 0; i < n; ++i)
        for (int r = 0; r < steps_; ++r)
            xhat[i * steps_ + r] =
                (*values_)[window(codes + i * words(), size, r * bits_, trellis_state_bits)];
}

bool TrellisCode::valid(const std::uint64_t* code) const {
    const int used = bits() % 64;
    return used == 0 || code[words() - 1] >> used == 0;
}

Json TrellisCode::describe() const {
    return {{"code", "trellis"},
            {"dim", steps_},
            {"bits", bits_},
            {"multiplier", multiplier_},
            {"gain", trellis_gain(bits_)}};
}

int trellis_tile_rows(Index rows) {
    VQ_ASSERT(rows >= 1);
    const auto padded = [&](Index t) { return (rows + t - 1) / t * t; };
    const Index whole = padded(tile_unit);
    if (whole <= longest_tile && whole < 2 * shortest_tile) return static_cast<int>(whole);
    Index best = longest_tile;
    for (Index t = longest_tile; t >= shortest_tile; t -= tile_unit) {
        const bool even = padded(t) / t % 2 == 0;
        const bool best_even = padded(best) / best % 2 == 0;
        if (padded(t) < padded(best) || (padded(t) == padded(best) && even && !best_even)) best = t;
    }
    return static_cast<int>(best);
}

}  // namespace vq
