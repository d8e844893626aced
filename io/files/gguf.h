// SPDX-License-Identifier: Apache-2.0
// GGUF: magic, version, counts, key-value pairs, tensor infos, padding, data. The reader maps the
// file, checks every length against what is left of it, and hands out views; nothing is copied that
// is not asked for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "io/files/ggml_dequant.h"
#include "io/files/mapped_file.h"

namespace vq {

/// Types of metadata values, numbered as in the file.
enum class GgufType : std::uint32_t {
    u8 = 0,
    i8,
    u16,
    i16,
    u32,
    i32,
    f32,
    boolean,
    string,
    array,
    u64,
    i64,
    f64
};
/// "u8", "string", ...
const char* gguf_type_name(GgufType type);

/// An array still in its stored form; elements of strings have been walked over and fit.
struct GgufArray {
    GgufType type = GgufType::u8;
    std::int64_t count = 0;
    ByteSpan bytes;
};

/// Integers that fit int64 are held as such; larger u64 values stay unsigned.
struct GgufValue {
    GgufType type = GgufType::u8;
    std::variant<std::int64_t, std::uint64_t, double, bool, std::string_view, GgufArray> value;
};

struct GgufTensor {
    std::string name;
    GgmlType type = GgmlType::f32;
    std::vector<std::int64_t> extents;  ///< ggml order: extents[0] is the contiguous one (columns)
    std::int64_t count = 0;
    std::int64_t begin = 0;  ///< first byte, counted from the start of the file
    std::int64_t bytes = 0;
};

class GgufFile {
public:
    /// Opens and checks versions 2 and 3, little-endian (the two share one layout). Throws Error
    /// with the key's or tensor's name for whatever does not fit.
    explicit GgufFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    const MappedFile& file() const { return file_; }
    std::uint32_t version() const { return version_; }
    const std::vector<GgufTensor>& tensors() const { return tensors_; }
    /// nullptr when there is none.
    const GgufTensor* find_tensor(const std::string& name) const;
    ByteSpan data(const GgufTensor& tensor) const;

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

    MappedFile file_;
    std::uint32_t version_ = 0;
    std::map<std::string, GgufValue> values_;
    std::vector<GgufTensor> tensors_;
    std::unordered_map<std::string, std::size_t> index_;
};

/// True when the file at `path` begins with the GGUF magic. False when it cannot be read.
bool is_gguf(const std::string& path);

}  // namespace vq
