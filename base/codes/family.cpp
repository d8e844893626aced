// SPDX-License-Identifier: Apache-2.0
#include "base/codes/family.h"

#include <numeric>

#include "base/error.h"

namespace vq {

namespace family_default {

void check(const CodeSettings& /*settings*/) {}

RateRange rates(const CodeSettings& /*settings*/) {
    return {.least = {}, .most = {}};
}

std::vector<std::vector<int>> stages(const CodeSettings& /*settings*/, int /*bits*/) {
    return {};
}

int vector_bits(const CodeSettings& /*settings*/, const std::vector<int>& stages) {
    return std::accumulate(stages.begin(), stages.end(), 0);
}

Index row_unit(const CodeSettings& s, Index /*rows*/) {
    if (s.along == Along::inputs) return 1;
    // Rows that hold whole vectors of both codes.
    return s.outliers > 0 ? std::lcm<Index>(s.dim, s.outlier_dim) : s.dim;
}

SharedCodes universal(const CodeSettings& /*settings*/) {
    return {};
}

double codebook_bits(const CodeSettings& /*settings*/) {
    return 0;
}

std::vector<double> distortions(const CodeSettings& /*settings*/, const SharedCodes& /*shared*/) {
    return {};
}

}  // namespace family_default

CodeSettings outlier_settings(const CodeSettings& settings) {
    CodeSettings out = settings;
    out.dim = settings.outlier_dim;
    out.stage_bits = {settings.outlier_bits};
    out.outliers = 0;
    return out;
}

void refuse_outliers(const CodeSettings& settings, const std::string& who) {
    if (settings.outliers > 0)
        throw Error(who + " has no code for outliers", "code.outliers", "use 0");
}

void refuse_grid(const CodeSettings& settings) {
    if (settings.grid != Grid::gaussian)
        throw Error("a fixed grid is for single weights", "code.grid",
                    "use gaussian, or code.kind=residual with code.dim=1");
}

}  // namespace vq
