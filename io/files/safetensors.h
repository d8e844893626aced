// SPDX-License-Identifier: Apache-2.0
// The safetensors format: an 8-byte little-endian header length, a JSON header
// {name: {dtype, shape, data_offsets}}, then the data. The reader maps the file and trusts nothing
// in it; the writer streams tensor by tensor and leaves no half-written file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/files/mapped_file.h"
#include "io/files/output_file.h"

namespace vq {

/// Element types that hold weights. `other` stands for all those that files may carry but that are
/// not weights (integers, booleans, 8-bit floats, fp64); their names are kept for error messages.
enum class SafetensorType { f32, f16, bf16, other };

struct SafetensorInfo {
    std::string name;
    SafetensorType type = SafetensorType::other;
    std::string type_name;            ///< as in the file: "F32", "BF16", "I64", ...
    std::vector<std::int64_t> shape;  ///< row-major; empty for a scalar
    std::int64_t count = 0;           ///< product of shape
    std::int64_t begin = 0;           ///< first byte, counted from the start of the file
    std::int64_t bytes = 0;
};

class SafetensorsFile {
public:
    /// Opens and checks: header at most 100 MB and inside the file, known dtypes, offsets inside
    /// the file, shape x dtype = bytes, no overlap, no name twice. Throws Error with the tensor's
    /// name.
    explicit SafetensorsFile(const std::string& path);

    const std::string& path() const { return file_.path(); }
    const MappedFile& file() const { return file_; }
    /// In the order of their data in the file.
    const std::vector<SafetensorInfo>& tensors() const { return tensors_; }
    /// nullptr when there is none.
    const SafetensorInfo* find(const std::string& name) const;
    ByteSpan data(const SafetensorInfo& info) const;

private:
    MappedFile file_;
    std::vector<SafetensorInfo> tensors_;
    std::unordered_map<std::string, std::size_t> index_;
};

/// Converts `count` stored elements to fp32. `type` is not `other`. Needs no alignment of `data`.
void safetensor_to_float(SafetensorType type, const std::uint8_t* data, std::int64_t count,
                         float* out);

/// Parses model.safetensors.index.json: tensor name -> file name in the same folder. Throws Error
/// on malformed JSON and on file names that leave the folder.
std::map<std::string, std::string> parse_safetensors_index(std::string_view json_text,
                                                           const std::string& where);

/// What a file to be written will hold, in this order.
struct SafetensorEntry {
    std::string name;
    SafetensorType type = SafetensorType::f32;  ///< f32, f16 or bf16
    std::vector<std::int64_t> shape;
};

class SafetensorsWriter {
public:
    /// Writes the header (with `__metadata__` {"format": "pt"}) into a temporary file.
    SafetensorsWriter(const std::string& path, std::vector<SafetensorEntry> entries);
    /// Writes the next tensor, converting from fp32 (round to nearest even). Tensors come in the
    /// order of `entries`. Throws Error when a value is not finite in the target type.
    void write(const std::string& name, const float* values);
    /// The same for the next `count` values of a tensor that comes in pieces.
    void append(const std::string& name, const float* values, std::int64_t count);
    /// All tensors written: the file appears under its name.
    void finish();

private:
    std::string path_;
    std::vector<SafetensorEntry> entries_;
    std::size_t next_ = 0;
    std::int64_t written_ = 0;  ///< values of the tensor that is next
    OutputFile file_;
};

}  // namespace vq
