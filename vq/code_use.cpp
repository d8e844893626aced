#include "vq/code_use.h"

#include <cmath>
#include <string>

#include "base/bits.h"
#include "base/error.h"

namespace vq {

namespace {

[[noreturn]] void fail(const StoredTensor& tensor, const std::string& what) {
    throw Error(what, tensor.name, "the store is damaged; run `vq verify`, or quantize again");
}

Index integer(const StoredTensor& tensor, const Json& from, const char* key, Index most) {
    if (!from.is_object() || !from.contains(key) || !from[key].is_number_integer())
        fail(tensor, std::string("no ") + key);
    const auto value = from[key].get<Index>();
    if (value < 1 || value > most) fail(tensor, std::string(key) + " is out of range");
    return value;
}

StageUse use_of(const std::vector<std::uint64_t>& codes, int shift, int bits) {
    StageUse out;
    out.bits = bits;
    out.words = Index{1} << bits;
    out.codes = static_cast<Index>(codes.size());
    std::vector<Index> counts(static_cast<std::size_t>(out.words), 0);
    for (const std::uint64_t code : codes)
        ++counts[(code >> shift) & static_cast<std::uint64_t>(out.words - 1)];
    for (const Index count : counts) {
        if (count == 0) continue;
        ++out.used;
        const double p = static_cast<double>(count) / static_cast<double>(out.codes);
        out.entropy -= p * std::log2(p);
    }
    return out;
}

}  // namespace

std::vector<StageUse> code_use(const StoredTensor& tensor) {
    std::vector<StageUse> out;
    const Json& spec = tensor.spec;
    if (!spec.is_object() || spec.value("code", "") != "residual") return out;
    const Index rows = integer(tensor, spec, "padded_rows", Index{1} << 31);
    if (!spec.contains("segments") || !spec["segments"].is_array()) fail(tensor, "no segments");
    std::size_t i = 0;
    for (const Json& segment : spec["segments"]) {
        const Index cols = integer(tensor, segment, "cols", Index{1} << 31);
        const Index dim = integer(tensor, segment, "dim", 64);
        if (!segment.contains("stage_bits") || !segment["stage_bits"].is_array())
            fail(tensor, "no stage_bits");
        std::vector<int> stages;
        int width = 0;
        for (const Json& bits : segment["stage_bits"]) {
            if (!bits.is_number_integer() || bits.get<Index>() < 1 || bits.get<Index>() > 16)
                fail(tensor, "stage_bits is out of range");
            stages.push_back(bits.get<int>());
            width += stages.back();
            if (width > 64) fail(tensor, "a code has more than 64 bits");
        }
        const std::string name = i == 0 ? "codes" : "codes_" + std::to_string(i);
        const auto found = tensor.arrays.find(name);
        const Index count = rows * cols / dim;
        if (width == 0 || found == tensor.arrays.end() || found->second.type != ElementType::u8 ||
            static_cast<Index>(found->second.bytes.size()) != packed_bytes(count, width))
            fail(tensor, "the array " + name + " is missing or has the wrong length");
        const std::vector<std::uint64_t> codes = unpack_bits(found->second.bytes, count, width);
        int shift = 0;
        for (const int bits : stages) {
            out.push_back(use_of(codes, shift, bits));
            shift += bits;
        }
        ++i;
    }
    return out;
}

}  // namespace vq
