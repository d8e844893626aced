// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/gguf_split.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace vq {
namespace {

constexpr std::int64_t max_parts = 99999;  // what five digits can say

GgufPart open_part(const std::string& path) {
    MappedFile file(path);
    GgufHeader header = read_gguf_header(file);
    return {std::move(file), std::move(header)};
}

std::optional<std::int64_t> number(const GgufPart& part, const char* key) {
    const auto found = part.header.values.find(key);
    if (found == part.header.values.end()) return std::nullopt;
    const auto* value = std::get_if<std::int64_t>(&found->second.value);
    if (value != nullptr && *value >= 0 && *value < std::int64_t{1} << 40) return *value;
    throw Error("value is not a count", part.file.path() + ": " + key,
                "the file is malformed: split the model again");
}

std::string ending(std::int64_t no, std::int64_t count) {
    return fmt::format("-{:05}-of-{:05}.gguf", no + 1, count);
}

/// Part `no` of `count`, or an error that says what the part claims to be.
void check_part(const GgufPart& part, std::int64_t no, std::int64_t count) {
    const std::int64_t own_no = number(part, "split.no").value_or(0);
    const std::int64_t own_count = number(part, "split.count").value_or(1);
    if (own_no != no || own_count != count)
        throw Error(fmt::format("is part {} of {} of a model by its metadata, by its name part {} "
                                "of {}",
                                own_no + 1, own_count, no + 1, count),
                    part.file.path(), "give every part the name that it was made under");
}

void check_tensor_count(const std::vector<GgufPart>& parts, const std::string& path) {
    std::int64_t found = 0;
    for (const GgufPart& part : parts)
        found += static_cast<std::int64_t>(part.header.tensors.size());
    for (const GgufPart& part : parts) {
        const auto expected = number(part, "split.tensors.count");
        if (expected && *expected != found)
            throw Error(fmt::format("parts of the model hold {} tensors, {} says {}", found,
                                    part.file.path(), *expected),
                        path, "get all parts of one and the same model");
    }
}

}  // namespace

std::vector<std::string> gguf_part_names(const std::string& path) {
    // "...-00001-of-00003.gguf"
    constexpr std::size_t length = 20;
    const std::size_t begin = path.size() < length ? std::string::npos : path.size() - length;
    const std::string tail = begin == std::string::npos ? "" : path.substr(begin);
    const auto digits = [&](std::size_t at) {
        const std::string five = tail.substr(at, 5);
        return five.find_first_not_of("0123456789") == std::string::npos ? std::stoll(five) : 0;
    };
    if (tail.empty() || tail[0] != '-' || tail.substr(6, 4) != "-of-" ||
        tail.substr(15) != ".gguf" || digits(1) < 1 || digits(10) > max_parts)
        return {path};
    std::vector<std::string> names;
    for (std::int64_t no = 0; no < digits(10); ++no)
        names.push_back(path.substr(0, begin) + ending(no, digits(10)));
    return names;
}

std::vector<GgufPart> open_gguf_parts(const std::string& path) {
    std::vector<GgufPart> parts;
    parts.push_back(open_part(path));
    const std::int64_t count = number(parts.front(), "split.count").value_or(1);
    if (count <= 1) return parts;
    const std::int64_t own = number(parts.front(), "split.no").value_or(0);
    if (count > max_parts || own < 0 || own >= count)
        throw Error(fmt::format("file says that it is part {} of {}", own + 1, count), path,
                    "the file is malformed: split the model again");
    if (!path.ends_with(ending(own, count)))
        throw Error(fmt::format("is part {} of {} of a split model, so its name must end in {}",
                                own + 1, count, ending(own, count)),
                    path, "give every part the name that it was made under");
    const std::string stem = path.substr(0, path.size() - ending(own, count).size());
    GgufPart given = std::move(parts.front());
    parts.clear();
    for (std::int64_t no = 0; no < count; ++no) {
        const std::string name = stem + ending(no, count);
        std::error_code code;
        if (no == own)
            parts.push_back(std::move(given));
        else if (std::filesystem::exists(name, code))
            parts.push_back(open_part(name));
        else
            throw Error(fmt::format("part {} of {} of the model is missing", no + 1, count), name,
                        "put all parts into one folder, or merge them into one file");
        check_part(parts.back(), no, count);
    }
    check_tensor_count(parts, path);
    return parts;
}

}  // namespace vq
