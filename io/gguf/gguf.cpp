// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/gguf.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "io/gguf/gguf_split.h"

namespace vq {

GgufFile::GgufFile(const std::string& path) : path_(path) {
    std::vector<GgufPart> parts = open_gguf_parts(path);
    version_ = parts.front().header.version;
    values_ = std::move(parts.front().header.values);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        for (GgufTensor& tensor : parts[i].header.tensors) {
            tensor.part = i;
            const auto [known, added] = index_.emplace(tensor.name, tensors_.size());
            if (!added)
                throw Error("tensor stands in two parts of the model, the other one is " +
                                parts[tensors_[known->second].part].file.path(),
                            parts[i].file.path() + ": " + tensor.name,
                            "get the parts of one and the same model");
            tensors_.push_back(std::move(tensor));
        }
    }
    for (GgufPart& part : parts) files_.push_back(std::move(part.file));
}

const GgufTensor* GgufFile::find_tensor(const std::string& name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
}

ByteSpan GgufFile::data(const GgufTensor& tensor) const {
    return files_[tensor.part].bytes().subspan(static_cast<std::size_t>(tensor.begin),
                                               static_cast<std::size_t>(tensor.bytes));
}

ByteSpan GgufFile::slice(const GgufTensor& tensor, std::int64_t index) const {
    VQ_ASSERT(tensor.extents.size() == 3 && index >= 0 && index < tensor.extents[2]);
    const std::int64_t bytes = tensor.bytes / tensor.extents[2];
    return data(tensor).subspan(static_cast<std::size_t>(index * bytes),
                                static_cast<std::size_t>(bytes));
}

void GgufFile::release(const GgufTensor& tensor, ByteSpan part) const {
    files_[tensor.part].release(part);
}

const GgufValue* GgufFile::find(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
}

void GgufFile::wrong_type(const std::string& key, const char* wanted) const {
    throw Error(fmt::format("value is not {} but {}", wanted, gguf_type_name(find(key)->type)),
                path() + ": " + key, "the file is malformed: convert the model again");
}

std::optional<std::int64_t> GgufFile::get_int(const std::string& key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto* number = std::get_if<std::int64_t>(&value->value)) return *number;
    wrong_type(key, "an integer below 2^63");
}

std::optional<double> GgufFile::get_float(const std::string& key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto* number = std::get_if<double>(&value->value)) return *number;
    wrong_type(key, "a floating-point number");
}

std::optional<bool> GgufFile::get_bool(const std::string& key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto* flag = std::get_if<bool>(&value->value)) return *flag;
    wrong_type(key, "a boolean");
}

std::optional<std::string> GgufFile::get_string(const std::string& key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto* text = std::get_if<std::string_view>(&value->value)) return std::string(*text);
    wrong_type(key, "a string");
}

const GgufArray* GgufFile::find_array(const std::string& key, const char* wanted) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return nullptr;
    const auto* array = std::get_if<GgufArray>(&value->value);
    if (array == nullptr) wrong_type(key, wanted);
    return array;
}

std::optional<std::vector<std::string_view>> GgufFile::get_strings(const std::string& key) const {
    const GgufArray* array = find_array(key, "an array of strings");
    if (array == nullptr) return std::nullopt;
    if (array->type != GgufType::string) wrong_type(key, "an array of strings");
    return gguf_strings(*array);
}

std::optional<std::vector<std::int64_t>> GgufFile::get_ints(const std::string& key) const {
    const GgufArray* array = find_array(key, "an array of integers");
    if (array == nullptr) return std::nullopt;
    if (!is_gguf_integer(array->type)) wrong_type(key, "an array of integers");
    auto values = gguf_ints(*array);
    if (!values) wrong_type(key, "an array of integers below 2^63");
    return values;
}

std::optional<std::vector<float>> GgufFile::get_floats(const std::string& key) const {
    const GgufArray* array = find_array(key, "an array of f32");
    if (array == nullptr) return std::nullopt;
    if (array->type != GgufType::f32) wrong_type(key, "an array of f32");
    std::vector<float> out(static_cast<std::size_t>(array->count));
    if (!out.empty()) std::memcpy(out.data(), array->bytes.data(), array->bytes.size());
    return out;
}

std::int64_t GgufFile::require_int(const std::string& key) const {
    if (const auto value = get_int(key)) return *value;
    throw Error("key is missing", path() + ": " + key, "convert the model again");
}

std::string GgufFile::require_string(const std::string& key) const {
    if (auto value = get_string(key)) return *value;
    throw Error("key is missing", path() + ": " + key, "convert the model again");
}

bool is_gguf(const std::string& path) {
    try {
        return has_gguf_magic(MappedFile(path).bytes());
    } catch (const Error&) {
        return false;
    }
}

}  // namespace vq
