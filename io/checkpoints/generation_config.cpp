// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoints/generation_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace vq {
namespace {

constexpr const char* name = "generation_config.json";

}  // namespace

void add_generation_stops(const TokenizerFiles& files, const std::string& where,
                          ModelConfig& config) {
    const auto file = files.find(name);
    if (file == files.end()) return;
    const std::string path = where + ": " + name;
    const Json json = Json::parse(file->second, nullptr, false);
    if (!json.is_object()) throw Error("is not a JSON object", path, "get the file again");
    const auto found = json.find("eos_token_id");
    if (found == json.end() || found->is_null()) return;
    const Json list = found->is_array() ? *found : Json::array({*found});
    for (const Json& id : list) {
        if (!id.is_number_integer())
            throw Error("eos_token_id is neither a token id nor a list of them", path,
                        "get the file again");
        const bool inside =
            id.is_number_unsigned()
                ? id.get<std::uint64_t>() < static_cast<std::uint64_t>(config.vocab_size)
                : false;
        if (!inside) {
            config.notes.push_back(fmt::format(
                "{}: eos_token_id has {}, and the vocabulary ends at {}: it is left out", path,
                id.dump(), config.vocab_size));
            continue;
        }
        const auto stop = id.get<std::int64_t>();
        if (std::ranges::find(config.eos_ids, stop) == config.eos_ids.end())
            config.eos_ids.push_back(stop);
    }
}

}  // namespace vq
