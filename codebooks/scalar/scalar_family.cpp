// SPDX-License-Identifier: Apache-2.0
#include "codebooks/scalar/scalar_family.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "codebooks/residual/scalar_grid.h"
#include "codebooks/scalar/grid_pack.h"

namespace vq {

namespace {

/// code.most_stage_bits caps what a column may have.
RateRange rates(const CodeSettings& s) {
    const std::vector<int> bits = scalar_grid_bits(s.grid);
    const int least = bits.front();
    const int most = std::max(least, std::min(bits.back(), s.most_stage_bits));
    return {.least = HalfBits::whole(least), .most = HalfBits::whole(most), .columns = 1};
}

void check(const CodeSettings& s) {
    const RateRange range = rates(s);
    const double least = range.least.bits();
    const double most = range.most.bits();
    if (!(s.rate >= least && s.rate <= most))
        throw Error(fmt::format("these grids have {} to {} bits a weight", least, most),
                    "code.rate", "set it, or use --bits");
    if (s.dim != 1) throw Error("a scalar grid takes single weights", "code.dim", "use 1");
    if (s.along != Along::inputs)
        throw Error("grids by column lie along inputs", "code.along", "use code.along=inputs");
    if (s.scope != CodebookScope::universal)
        throw Error("grids by column are fixed", "code.scope", "use code.scope=universal");
    if (s.outliers > 0)
        throw Error("columns have their own bits and need no code for outliers", "code.outliers",
                    "use 0");
}

/// Columns are whole bytes, so that their number of bits is known before their rates are.
Index row_unit(const CodeSettings& /*settings*/, Index /*rows*/) {
    return 8;
}

CodePtr make(const CodeSettings& s, const CodePlace& place) {
    return scalar_grid(s.grid, place.rate.whole_bits());
}

SharedCodes universal(const CodeSettings& s) {
    SharedCodes out;
    const RateRange range = rates(s);
    for (int i = 0; i < range.count(); ++i) {
        const int bits = range.at(i).whole_bits();
        out.push_back({"universal." + scalar_grid_name(s.grid, bits), scalar_grid(s.grid, bits)});
    }
    return out;
}

double codebook_bits(const CodeSettings& s) {
    double bits = 0;
    const RateRange range = rates(s);
    for (int i = 0; i < range.count(); ++i)
        bits += 16.0 * static_cast<double>(1 << range.at(i).whole_bits());
    return bits;
}

std::vector<double> distortions(const CodeSettings& s, const SharedCodes& shared) {
    std::vector<double> out;
    for (const SharedCode& each : shared.empty() ? universal(s) : shared)
        out.push_back(gaussian_distortion(each.code->parameters()));
    return out;
}

}  // namespace

const CodeFamily scalar_family = {
    .name = "grid",
    .summary = "scalar grids of 1 to 8 bits by column",
    .has_codebooks = true,
    .check = check,
    .rates = rates,
    .row_unit = row_unit,
    .make = make,
    .universal = universal,
    .codebook_bits = codebook_bits,
    .distortions = distortions,
    .pack = pack_grid,
};

}  // namespace vq
