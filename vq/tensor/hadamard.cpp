// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/hadamard.h"

#include <algorithm>

#include "base/parallel.h"
#include "base/rng.h"

namespace vq {

namespace {

template <class T>
void rotate_rows(T* x, Index rows, Index stride, const std::vector<float>& signs,
                 const std::vector<Index>& blocks, bool inverse) {
    constexpr Index batch = 16;
    const auto n = static_cast<Index>(signs.size());
    parallel_for((rows + batch - 1) / batch, [&](Index b) {
        std::vector<T> scratch(static_cast<std::size_t>(blocks.front()));
        for (Index r = b * batch; r < std::min(rows, (b + 1) * batch); ++r) {
            T* row = x + r * stride;
            if (!inverse)
                for (Index j = 0; j < n; ++j) row[j] *= static_cast<T>(signs.data()[j]);
            Index at = 0;
            for (const Index length : blocks) {
                hadamard_block(row + at, length, inverse, scratch.data());
                at += length;
            }
            if (inverse)
                for (Index j = 0; j < n; ++j) row[j] *= static_cast<T>(signs.data()[j]);
        }
    });
}

}  // namespace

Matrix small_hadamard(Index p) {
    Matrix h(p, p);
    for (Index i = 0; i < p; ++i)
        for (Index j = 0; j < p; ++j)
            h(i, j) = hadamard_plus(static_cast<int>(p), static_cast<int>(i), static_cast<int>(j))
                          ? 1.0F
                          : -1.0F;
    return h;
}

RandomHadamard::RandomHadamard(Index n, std::uint64_t seed)
    : signs_(static_cast<std::size_t>(n)), blocks_(hadamard_blocks(n)) {
    for (std::size_t i = 0; i < signs_.size(); ++i) signs_[i] = random_sign(seed, i);
}

void RandomHadamard::forward(float* x, Index rows, Index stride) const {
    rotate_rows(x, rows, stride, signs_, blocks_, false);
}
void RandomHadamard::forward(double* x, Index rows, Index stride) const {
    rotate_rows(x, rows, stride, signs_, blocks_, false);
}
void RandomHadamard::inverse(float* x, Index rows, Index stride) const {
    rotate_rows(x, rows, stride, signs_, blocks_, true);
}

}  // namespace vq
