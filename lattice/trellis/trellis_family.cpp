// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/trellis_family.h"

#include "base/error.h"
#include "lattice/trellis/trellis_code.h"
#include "lattice/trellis/trellis_function.h"
#include "lattice/trellis/trellis_pack.h"

namespace vq {

namespace {

RateRange rates(const CodeSettings& /*settings*/) {
    return {.least = HalfBits::whole(1), .most = HalfBits::whole(4)};
}

void check(const CodeSettings& s) {
    if (!(s.rate >= 1 && s.rate <= 4))
        throw Error("a trellis has 1 to 4 bits a weight", "code.rate", "set it, or use --bits");
    if (s.along != Along::outputs)
        throw Error("a trellis runs along output rows", "code.along", "use code.along=outputs");
    refuse_outliers(s, "a trellis");
    refuse_grid(s);
}

Index row_unit(const CodeSettings& /*settings*/, Index rows) {
    return trellis_tile_rows(rows);
}

CodePtr make(const CodeSettings& s, const CodePlace& place) {
    return std::make_shared<TrellisCode>(trellis_tile_rows(place.rows), place.rate.whole_bits(),
                                         s.tail);
}

std::vector<double> distortions(const CodeSettings& s, const SharedCodes& /*shared*/) {
    std::vector<double> out;
    const RateRange range = rates(s);
    for (int i = 0; i < range.count(); ++i)
        out.push_back(trellis_distortion(range.at(i).whole_bits()));
    return out;
}

CodePtr parse(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    const auto bits = static_cast<int>(spec_integer(entry, "bits", 1, 4, fail));
    const auto dim = static_cast<int>(spec_integer(entry, "dim", 16, 4096, fail));
    const auto multiplier =
        static_cast<std::uint32_t>(spec_integer(entry, "multiplier", 0, 0xFFFFFFFF, fail));
    return with_constants(std::make_shared<TrellisCode>(dim, bits, 1, multiplier), entry, {"gain"},
                          fail);
}

}  // namespace

const CodeFamily trellis_family = {
    .name = "trellis",
    .summary = "a bitshift trellis along outputs, 1 to 4 bits by column",
    .check = check,
    .rates = rates,
    .row_unit = row_unit,
    .make = make,
    .distortions = distortions,
    .parse = parse,
    .pack = pack_trellis,
};

}  // namespace vq
