// SPDX-License-Identifier: Apache-2.0
// The plain kernel: one point against one block of 32 codewords at a time, no intrinsics.
#include <limits>

#include "codebooks/assign/assigner_kernel.h"

namespace vq {
namespace {

constexpr std::int64_t width = 32;

void score_block(const float* block, std::int64_t d, const float* x, const float* w, float* score) {
    const float* start = w == nullptr ? block : block + (d + 1) * width;
    for (std::int64_t lane = 0; lane < width; ++lane) score[lane] = start[lane];
    for (std::int64_t j = 0; j < d; ++j) {
        const float* c = block + (j + 1) * width;
        if (w == nullptr) {
            for (std::int64_t lane = 0; lane < width; ++lane) score[lane] -= x[j] * c[lane];
        } else {
            const float half = 0.5F * w[j];
            const float linear = w[j] * x[j];
            for (std::int64_t lane = 0; lane < width; ++lane)
                score[lane] += (half * c[lane] - linear) * c[lane];
        }
    }
}

void nearest(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
             std::uint32_t* codes) {
    float score[width];
    for (std::int64_t i = 0; i < n; ++i) {
        float best = std::numeric_limits<float>::infinity();
        std::uint32_t code = 0;
        for (std::int64_t b = 0; b < book.blocks; ++b) {
            score_block(book.rows + b * (book.d + 2) * width, book.d, x + i * book.d,
                        w == nullptr ? nullptr : w + i * book.d, score);
            for (std::int64_t lane = 0; lane < width; ++lane) {
                if (score[lane] < best) {
                    best = score[lane];
                    code = static_cast<std::uint32_t>(b * width + lane);
                }
            }
        }
        codes[i] = code;
    }
}

/// Keeps the t best in a sorted list; most codewords fail the comparison with its last entry.
void nearest_t(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n, int t,
               std::uint32_t* codes) {
    float score[width];
    float best[64];
    for (std::int64_t i = 0; i < n; ++i, codes += t) {
        for (int r = 0; r < t; ++r) {
            best[r] = std::numeric_limits<float>::infinity();
            codes[r] = static_cast<std::uint32_t>(r);  // stays only where scores are not finite
        }
        for (std::int64_t b = 0; b < book.blocks; ++b) {
            score_block(book.rows + b * (book.d + 2) * width, book.d, x + i * book.d,
                        w == nullptr ? nullptr : w + i * book.d, score);
            for (std::int64_t lane = 0; lane < width; ++lane) {
                if (!(score[lane] < best[t - 1])) continue;
                int r = t - 1;
                // Assigner checks that t <= 64.
                // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult)
                for (; r > 0 && score[lane] < best[r - 1]; --r) {
                    best[r] = best[r - 1];
                    codes[r] = codes[r - 1];
                }
                best[r] = score[lane];
                codes[r] = static_cast<std::uint32_t>(b * width + lane);
            }
        }
    }
}

}  // namespace

const AssignerKernel assigner_kernel_scalar = {nearest, nearest_t};

}  // namespace vq
