// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_family.h"

#include "base/error.h"
#include "codebooks/bitmod/bitmod_code.h"
#include "codebooks/bitmod/bitmod_pack.h"

namespace vq {

namespace {

void check(const CodeSettings& s) {
    if (s.stage_bits != std::vector<int>{3} && s.stage_bits != std::vector<int>{4})
        throw Error("BitMoD has 3 or 4 bits a weight", "code.stage_bits", "use 3 or 4");
    if (s.along != Along::inputs)
        throw Error("BitMoD has groups of input weights", "code.along", "use code.along=inputs");
    refuse_outliers(s, "BitMoD");
    refuse_grid(s);
}

/// A stage is the bits of a weight here.
int vector_bits(const CodeSettings& s, const std::vector<int>& stages) {
    return BitmodCode::code_bits(s.dim, stages.at(0));
}

std::vector<std::vector<int>> stages(const CodeSettings& s, int bits) {
    for (const int each : {3, 4})
        if (vector_bits(s, {each}) == bits) return {{each}};
    return {};
}

CodePtr make(const CodeSettings& s, const CodePlace& /*place*/) {
    return std::make_shared<BitmodCode>(s.dim, s.stage_bits.front());
}

CodePtr parse(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    const auto bits = static_cast<int>(spec_integer(entry, "bits", 3, 4, fail));
    const auto dim = static_cast<int>(spec_integer(entry, "dim", 1, 1024, fail));
    return with_constants(std::make_shared<BitmodCode>(dim, bits), entry,
                          {"magnitudes", "specials"}, fail);
}

}  // namespace

const CodeFamily bitmod_family = {
    .name = "bitmod",
    .summary = "floating-point grids with a special value a group",
    .check = check,
    .stages = stages,
    .vector_bits = vector_bits,
    .make = make,
    .parse = parse,
    .pack = pack_bitmod,
};

}  // namespace vq
