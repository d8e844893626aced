// SPDX-License-Identifier: Apache-2.0
#include "io/files/yaml.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "io/files/mapped_file.h"

namespace vq {

namespace {

constexpr std::int64_t longest_file = std::int64_t{1} << 20;
// An alias is one word and may stand for any number of values, of which each may be an alias.
constexpr int most_values = 100'000;
constexpr int deepest = 64;

std::string place(const std::string& where, const YAML::Mark& mark) {
    if (mark.is_null()) return where;
    return where + ": line " + std::to_string(mark.line + 1);
}

template <class T>
std::optional<T> number(std::string_view text) {
    if (text.starts_with('+')) text.remove_prefix(1);
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

Json plain_scalar(const std::string& text) {
    if (text.empty() || text == "~" || text == "null") return nullptr;
    if (text == "true" || text == "false") return text == "true";
    // Words such as "inf" and "nan", which from_chars would take, are text.
    if (text.find_first_of("0123456789") == std::string::npos) return text;
    if (const auto integer = number<std::int64_t>(text)) return *integer;
    if (const auto decimal = number<double>(text); decimal && std::isfinite(*decimal))
        return *decimal;
    return text;
}

class Converter {
public:
    explicit Converter(const std::string& where) : where_(where) {}

    Json value(const YAML::Node& node, int depth) {
        if (++values_ > most_values || depth > deepest)
            throw Error("too many values, or too deep", place(where_, node.Mark()),
                        "write less into one file, without aliases of aliases");
        switch (node.Type()) {
            case YAML::NodeType::Map: return map(node, depth);
            case YAML::NodeType::Sequence: {
                Json list = Json::array();
                for (const YAML::Node& item : node) list.push_back(value(item, depth + 1));
                return list;
            }
            case YAML::NodeType::Scalar:
                // "!" is the tag of what stands in quotes.
                return node.Tag() == "!" ? Json(node.Scalar()) : plain_scalar(node.Scalar());
            default: return nullptr;
        }
    }

private:
    Json map(const YAML::Node& node, int depth) {
        Json object = Json::object();
        for (const auto& entry : node) {
            if (!entry.first.IsScalar())
                throw Error("a key is no plain word", place(where_, entry.first.Mark()),
                            "write KEY: VALUE");
            const std::string& key = entry.first.Scalar();
            if (object.contains(key))
                throw Error("the key \"" + key + "\" stands twice",
                            place(where_, entry.first.Mark()), "keep one of them");
            object[key] = value(entry.second, depth + 1);
        }
        return object;
    }

    const std::string& where_;
    int values_ = 0;
};

}  // namespace

Json parse_yaml(std::string_view text, const std::string& where) {
    try {
        const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
        if (documents.size() > 1)
            throw Error("more than one document", where, "take away what follows the line ---");
        if (documents.empty()) return nullptr;
        return Converter(where).value(documents.front(), 0);
    } catch (const YAML::Exception& error) {
        throw Error("not YAML (" + error.msg + ")", place(where, error.mark),
                    "check the line and its indentation");
    }
}

Json read_yaml(const std::string& path) {
    return parse_yaml(read_text_file(path, longest_file), path);
}

}  // namespace vq
