// SPDX-License-Identifier: Apache-2.0
// A model in GGUF form: one file, or the parts of a split one ("model-00001-of-00003.gguf"), of
// which any may be named. The files are mapped; what is handed out are views.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/gguf/gguf_header.h"

namespace vq {

class GgufFile {
public:
    /// Opens the file, and all other parts of a split model. Throws Error with the key's, tensor's
    /// or part's name for whatever is missing or does not fit.
    explicit GgufFile(const std::string& path);

    /// As it was given.
    const std::string& path() const { return path_; }
    std::uint32_t version() const { return version_; }
    /// Of all parts, in their order.
    const std::vector<GgufTensor>& tensors() const { return tensors_; }
    /// nullptr when there is none.
    const GgufTensor* find_tensor(const std::string& name) const;
    ByteSpan data(const GgufTensor& tensor) const;
    /// Of a tensor with three extents (in, out, E): the bytes of matrix `index` of E.
    ByteSpan slice(const GgufTensor& tensor, std::int64_t index) const;
    /// MappedFile::release() of a part of what data() or slice() gave.
    void release(const GgufTensor& tensor, ByteSpan part) const;

    /// Of a split model: what its first part says.
    const std::map<std::string, GgufValue>& values() const { return values_; }
    bool has(const std::string& key) const { return values_.count(key) != 0; }
    /// nullptr when there is none.
    const GgufValue* find(const std::string& key) const;

    // Typed getters: nothing when the key is absent; Error when it holds another type. Any integer
    // type serves as integer, f32 and f64 as float, and an array of such for the lists.
    std::optional<std::int64_t> get_int(const std::string& key) const;
    /// An f32 is widened through its shortest decimal form, so that 1e-5F becomes 1e-5.
    std::optional<double> get_float(const std::string& key) const;
    std::optional<bool> get_bool(const std::string& key) const;
    std::optional<std::string> get_string(const std::string& key) const;
    /// Views into the file, valid as long as this object.
    std::optional<std::vector<std::string_view>> get_strings(const std::string& key) const;
    std::optional<std::vector<std::int64_t>> get_ints(const std::string& key) const;
    std::optional<std::vector<float>> get_floats(const std::string& key) const;
    /// Like get_int and get_string, but Error when the key is absent.
    std::int64_t require_int(const std::string& key) const;
    std::string require_string(const std::string& key) const;

private:
    [[noreturn]] void wrong_type(const std::string& key, const char* wanted) const;
    const GgufArray* find_array(const std::string& key, const char* wanted) const;

    std::string path_;
    std::vector<MappedFile> files_;  ///< part by part
    std::uint32_t version_ = 0;
    std::map<std::string, GgufValue> values_;
    std::vector<GgufTensor> tensors_;
    std::unordered_map<std::string, std::size_t> index_;
};

/// True when the file at `path` begins with the GGUF magic. False when it cannot be read.
bool is_gguf(const std::string& path);

}  // namespace vq
