// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/universal.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <sstream>

#include "base/error.h"
#include "base/half.h"
#include "codebooks/residual/universal_data.h"

namespace vq {

std::string universal_name(int dim, std::span<const int> stage_bits) {
    return fmt::format("gauss_d{}_{}", dim, fmt::join(stage_bits, "_"));
}

std::vector<std::string> universal_names() {
    std::vector<std::string> names;
    for (const UniversalData& data : universal_data()) names.emplace_back(data.name);
    return names;
}

std::vector<std::vector<int>> universal_stages(int dim) {
    std::vector<std::vector<int>> all;
    const std::string prefix = fmt::format("gauss_d{}_", dim);
    for (const std::string& name : universal_names()) {
        if (name.rfind(prefix, 0) != 0) continue;
        std::vector<int>& stages = all.emplace_back();
        std::stringstream list(name.substr(prefix.size()));
        for (std::string bits; std::getline(list, bits, '_');) stages.push_back(std::stoi(bits));
    }
    return all;
}

std::shared_ptr<const ResidualCode> universal_code(int dim, std::span<const int> stage_bits,
                                                   int beam) {
    const std::string name = universal_name(dim, stage_bits);
    for (const UniversalData& data : universal_data()) {
        if (name != data.name) continue;
        // .npy version 1.0: magic (6), version (2), header length (2), header, then the values.
        VQ_ASSERT(data.size >= 10 && std::memcmp(data.bytes, "\x93NUMPY\x01", 7) == 0);
        const std::size_t header = 10 + (data.bytes[8] | std::size_t{data.bytes[9]} << 8);
        std::size_t words = 0;
        for (const int b : stage_bits) words += std::size_t{1} << b;
        VQ_ASSERT(data.size == header + words * static_cast<std::size_t>(dim) * sizeof(Half));
        const unsigned char* at = data.bytes + header;
        std::vector<Matrix> codebooks;
        for (const int b : stage_bits) {
            Matrix& c = codebooks.emplace_back(Index{1} << b, dim);
            for (Index i = 0; i < c.size(); ++i, at += 2)
                c.data()[i] = float_from_half(static_cast<Half>(at[0] | at[1] << 8));
        }
        return std::make_shared<ResidualCode>(std::move(codebooks), beam);
    }
    throw Error("no universal codebook of this shape", name,
                fmt::format("use another --bits, --set code.scope=model, or one of: {}",
                            fmt::join(universal_names(), ", ")));
}

}  // namespace vq
