// SPDX-License-Identifier: Apache-2.0
// One GGUF file on disk: magic, version, counts, key-value pairs, tensor infos, padding, data. Every
// length is checked against what is left of the file; nothing is copied that is not asked for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/files/mapped_file.h"
#include "io/gguf/ggml_dequant.h"

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
    std::size_t part = 0;  ///< which file of a split model holds it
};

/// All that a file says before its data. Tensors stand in the order of the file.
struct GgufHeader {
    std::uint32_t version = 0;
    std::map<std::string, GgufValue> values;
    std::vector<GgufTensor> tensors;
};

/// Checks versions 2 and 3, little-endian (the two share one layout), every length, and that the
/// tensors' data lie in the file. Throws Error with the key's or tensor's name for whatever does not
/// fit. Values are views into the file.
GgufHeader read_gguf_header(const MappedFile& file);

/// The elements of an array of strings, or of integers. Of integers that do not fit int64: nothing.
std::vector<std::string_view> gguf_strings(const GgufArray& array);
std::optional<std::vector<std::int64_t>> gguf_ints(const GgufArray& array);
bool is_gguf_integer(GgufType type);

/// True when `bytes` begin with the GGUF magic.
bool has_gguf_magic(ByteSpan bytes);

}  // namespace vq
