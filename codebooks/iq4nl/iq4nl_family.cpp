// SPDX-License-Identifier: Apache-2.0
#include "codebooks/iq4nl/iq4nl_family.h"

#include "base/error.h"
#include "codebooks/iq4nl/iq4nl_code.h"
#include "codebooks/iq4nl/iq4nl_pack.h"

namespace vq {

namespace {

const std::vector<int> bits_of_a_weight = {Iq4nlCode::index_bits};

void check(const CodeSettings& s) {
    if (s.dim != Iq4nlCode::block)
        throw Error("IQ4_NL has groups of 32 weights", "code.dim", "use 32");
    if (s.stage_bits != bits_of_a_weight)
        throw Error("IQ4_NL has 4 bits a weight", "code.stage_bits", "use 4");
    if (s.along != Along::inputs)
        throw Error("IQ4_NL has groups of input weights", "code.along", "use code.along=inputs");
    refuse_outliers(s, "IQ4_NL");
    refuse_grid(s);
}

int vector_bits(const CodeSettings& /*settings*/, const std::vector<int>& /*stages*/) {
    return Iq4nlCode::code_bits;
}

std::vector<std::vector<int>> stages(const CodeSettings& /*settings*/, int bits) {
    if (bits != Iq4nlCode::code_bits) return {};
    return {bits_of_a_weight};
}

CodePtr make(const CodeSettings& /*settings*/, const CodePlace& /*place*/) {
    return std::make_shared<Iq4nlCode>();
}

CodePtr parse(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    return with_constants(std::make_shared<Iq4nlCode>(), entry, {"dim", "levels"}, fail);
}

}  // namespace

const CodeFamily iq4nl_family = {
    .name = "iq4nl",
    .summary = "ggml's IQ4_NL, 16 fixed levels with a scale for 32 (code.dim=32)",
    .own_scales = true,
    .check = check,
    .stages = stages,
    .vector_bits = vector_bits,
    .make = make,
    .parse = parse,
    .pack = pack_iq4nl,
};

}  // namespace vq
