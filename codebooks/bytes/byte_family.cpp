// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bytes/byte_family.h"

#include "base/error.h"
#include "codebooks/bytes/byte_code.h"
#include "codebooks/bytes/byte_pack.h"

namespace vq {

namespace {

const std::vector<int> bits_of_a_weight = {ByteCode::value_bits};

void check(const CodeSettings& s) {
    if (s.dim != ByteCode::block)
        throw Error("bytes have groups of 32 weights", "code.dim", "use 32");
    if (s.stage_bits != bits_of_a_weight)
        throw Error("bytes have 8 bits a weight", "code.stage_bits", "use 8");
    if (s.along != Along::inputs)
        throw Error("bytes have groups of input weights", "code.along", "use code.along=inputs");
    refuse_outliers(s, "bytes");
    refuse_grid(s);
}

int vector_bits(const CodeSettings& /*settings*/, const std::vector<int>& /*stages*/) {
    return ByteCode::code_bits;
}

std::vector<std::vector<int>> stages(const CodeSettings& /*settings*/, int bits) {
    if (bits != ByteCode::code_bits) return {};
    return {bits_of_a_weight};
}

CodePtr make(const CodeSettings& /*settings*/, const CodePlace& /*place*/) {
    return std::make_shared<ByteCode>();
}

CodePtr parse(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    return with_constants(std::make_shared<ByteCode>(), entry, {"dim"}, fail);
}

}  // namespace

const CodeFamily byte_family = {
    .name = "bytes",
    .summary = "8-bit integers with a scale for 32 (code.dim=32)",
    .own_scales = true,
    .check = check,
    .stages = stages,
    .vector_bits = vector_bits,
    .make = make,
    .parse = parse,
    .pack = pack_bytes,
};

}  // namespace vq
