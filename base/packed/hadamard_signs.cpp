// SPDX-License-Identifier: Apache-2.0
#include "base/packed/hadamard_signs.h"

#include <array>

#include "base/hadamard.h"

namespace vq::decode {

namespace {

constexpr int most_order = 36;
using Signs = std::array<float, std::size_t{most_order} * most_order>;

Signs make_signs(int p, bool transpose) {
    Signs signs{};
    std::size_t at = 0;
    for (int j = 0; j < p; ++j)
        for (int i = 0; i < p; ++i)
            signs[at++] =
                (transpose ? hadamard_plus(p, j, i) : hadamard_plus(p, i, j)) ? 1.0F : -1.0F;
    return signs;
}

/// The orders that there are: 12, 20, 28, 36.
std::array<Signs, 4> make_all(bool transpose) {
    std::array<Signs, 4> all{};
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i] = make_signs(12 + 8 * static_cast<int>(i), transpose);
    return all;
}

}  // namespace

const float* hadamard_signs(int p, bool transpose) {
    static const std::array<std::array<Signs, 4>, 2> all = {make_all(false), make_all(true)};
    return p == 1 ? nullptr : all[transpose ? 1 : 0][static_cast<std::size_t>((p - 12) / 8)].data();
}

}  // namespace vq::decode
