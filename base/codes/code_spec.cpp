// SPDX-License-Identifier: Apache-2.0
#include "base/codes/code_spec.h"

namespace vq {

Index spec_integer(const Json& entry, const char* key, Index low, Index high,
                   const SpecFault& fail) {
    if (!entry.contains(key) || !entry[key].is_number_integer()) fail(std::string("no ") + key);
    const auto value = entry[key].get<Index>();
    if (value < low || value > high) fail(std::string(key) + " is out of range");
    return value;
}

std::vector<int> parse_stage_bits(const Json& entry, const SpecFault& fail) {
    if (!entry.contains("stage_bits") || !entry["stage_bits"].is_array()) fail("no stage_bits");
    std::vector<int> bits;
    int sum = 0;
    for (const Json& b : entry["stage_bits"]) {
        if (!b.is_number_integer() || b.get<Index>() < 1 || b.get<Index>() > 16)
            fail("stage_bits is out of range");
        bits.push_back(b.get<int>());
        sum += bits.back();
        if (sum > 64) fail("a code has more than 64 bits");
    }
    if (bits.empty()) fail("no stage_bits");
    return bits;
}

CodePtr with_constants(CodePtr code, const Json& entry, std::initializer_list<const char*> keys,
                       const SpecFault& fail) {
    const Json own = code->describe();
    for (const char* key : keys)
        if (!entry.contains(key) || entry[key] != own[key])
            fail(std::string("a code with another ") + key + " than this program knows");
    return code;
}

}  // namespace vq
