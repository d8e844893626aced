// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/bias.h"

#include <string_view>

#include "base/error.h"

namespace vq {

std::string bias_of(const std::string& weight) {
    constexpr std::string_view suffix = ".weight";
    const bool named = weight.ends_with(suffix);
    return (named ? weight.substr(0, weight.size() - suffix.size()) : weight) + ".bias";
}

Matrix corrected_bias(const Matrix& bias, const Matrix& w, const Matrix& what,
                      const HessianSum& inputs) {
    if (inputs.count == 0) return bias;
    VQ_ASSERT(bias.rows() == 1 && bias.cols() == w.rows());
    VQ_ASSERT(w.rows() == what.rows() && w.cols() == what.cols() && w.cols() == inputs.cols());
    // In fp64: errors of thousands of weights nearly cancel.
    const VectorD mean = inputs.x / static_cast<double>(inputs.count);
    const VectorD error = (w.cast<double>() - what.cast<double>()) * mean;
    return (bias.cast<double>() + error.transpose()).cast<float>();
}

}  // namespace vq
