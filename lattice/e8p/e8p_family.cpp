// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p_family.h"

#include <algorithm>

#include "base/error.h"
#include "lattice/e8p/e8p_code.h"
#include "lattice/e8p/e8p_pack.h"

namespace vq {

namespace {

bool known_stages(const std::vector<int>& bits) {
    const auto& choices = E8pCode::stage_choices();
    return std::find(choices.begin(), choices.end(), bits) != choices.end();
}

void check(const CodeSettings& s) {
    if (s.dim != 8) throw Error("E8P has vectors of 8 weights", "code.dim", "use 8");
    if (!known_stages(s.stage_bits))
        throw Error("E8P has 2, 3 or 4 bits a weight", "code.stage_bits", "use 16, 16+8 or 16+16");
    refuse_outliers(s, "E8P");
    refuse_grid(s);
}

std::vector<std::vector<int>> stages(const CodeSettings& s, int bits) {
    std::vector<std::vector<int>> out;
    for (const std::vector<int>& each : E8pCode::stage_choices())
        if (family_default::vector_bits(s, each) == bits) out.push_back(each);
    return out;
}

CodePtr make(const CodeSettings& s, const CodePlace& /*place*/) {
    return std::make_shared<E8pCode>(s.stage_bits, s.beam);
}

CodePtr parse(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    const std::vector<int> bits = parse_stage_bits(entry, fail);
    if (!known_stages(bits)) fail("E8P has no such stages");
    return with_constants(std::make_shared<E8pCode>(bits, 1), entry, {"dim", "gains"}, fail);
}

}  // namespace

const CodeFamily e8p_family = {
    .name = "e8p",
    .summary = "the E8P lattice",
    .check = check,
    .stages = stages,
    .make = make,
    .parse = parse,
    .pack = pack_e8p,
};

}  // namespace vq
