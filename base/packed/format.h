// SPDX-License-Identifier: Apache-2.0
// The packed file as bytes: plain little-endian records, no pointers, every section 64-byte
// aligned, so that a mapped file is used as it lies (docs/packed-format.md). Readers trust none of
// it: packed_file.cpp checks every record before anything is used.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vq::decode {

inline constexpr char packed_magic[8] = {'v', 'q', 'p', 'a', 'c', 'k', 'e', 'd'};
inline constexpr std::uint32_t packed_version = 2;
inline constexpr std::uint64_t section_align = 64;
/// Bytes after the codes of a segment that kernels may read (and never use).
inline constexpr std::uint64_t code_slack = 64;
inline constexpr int most_stages = 8;
inline constexpr int most_dim = 64;  ///< of a vector

struct Section {
    std::uint64_t offset;  ///< from the start of the file, a multiple of section_align
    std::uint64_t bytes;   ///< 0: absent
};

/// A name in the string area at the end of the directory.
struct NameRef {
    std::uint32_t offset;
    std::uint32_t bytes;
};

struct FileHeader {
    char magic[8];
    std::uint32_t version;
    std::uint32_t header_bytes;  ///< sizeof(FileHeader)
    std::uint64_t file_bytes;
    Section directory;
    std::uint32_t blobs, codebooks, tensors, segments;  ///< records in the directory, in this order
    std::uint64_t directory_checksum;                   ///< fnv1a of the directory
    std::uint64_t header_checksum;                      ///< fnv1a of everything before
};
static_assert(sizeof(FileHeader) == 72);

/// A file of the model: "config.json", "tokenizer.json", ...
struct BlobRecord {
    NameRef name;
    Section data;
};

/// One stage of a code: `entries` codewords of `dim` fp16 values, row-major.
struct CodebookRecord {
    std::uint32_t entries, dim;
    Section data;
};

enum class TensorKind : std::uint32_t { dense_f32 = 1, dense_f16 = 2, dense_bf16 = 3, coded = 4 };
enum class ScaleKind : std::uint32_t {
    tensor = 1,  ///< one fp32
    row = 2,     ///< fp16 [padded_rows]
    group = 3,   ///< fp16 [padded_rows][ceil(padded_cols / scale_group)]
};

inline constexpr std::uint32_t rotate_in = 1;  ///< flags of TensorRecord::rotations
inline constexpr std::uint32_t rotate_out = 2;

struct TensorRecord {
    NameRef name;
    std::uint64_t rows, cols;
    std::uint64_t padded_rows, padded_cols;
    TensorKind kind;
    ScaleKind scale_kind;
    std::uint64_t scale_group;
    Section dense;         ///< dense kinds: row-major [rows][cols]
    Section scales;        ///< coded
    Section column_scale;  ///< fp16 [cols]
    Section permutation;   ///< u32 [cols]
    std::uint64_t seed_in, seed_out;
    std::uint32_t rotations;
    std::uint32_t first_segment, segments;
    std::uint32_t reserved;  ///< 0
};
static_assert(sizeof(TensorRecord) == 152);

/// The number of a packed code. Its folder gives it, as e8p_kind in lattice/e8p/e8p.h: never one that
/// another code has or had (docs/packed-format.md).
enum class CodeKind : std::uint32_t {};

/// How a trellis turns a 16-bit state s into a value.
enum class TrellisValue : std::uint32_t {
    byte_sum = 1,  ///< by the sum of the four bytes of the 32-bit product s * multiplier[0]
};

struct SegmentRecord {
    std::uint64_t col0, cols;
    CodeKind code;
    std::uint32_t along_outputs;  ///< 0: vectors of `dim` inputs of a row, 1: outputs of a column
    std::uint32_t dim;
    std::uint32_t stages;
    std::uint32_t stage_bits[most_stages];
    std::uint32_t codebook[most_stages];  ///< indices of CodebookRecords with 2^stage_bits entries
    TrellisValue trellis_value;
    std::uint32_t trellis_bits;   ///< K
    std::uint32_t tile_rows;      ///< T
    std::uint32_t multiplier[2];  ///< trellis: [0]; [1]: 0
    std::uint32_t addend[2];      ///< 0
    float gain[2];           ///< trellis: value = (sum of the four bytes - 510) * gain[0]; e8p: of
                             ///< each stage
    std::uint32_t reserved;  ///< 0
    Section codes;
};
static_assert(sizeof(SegmentRecord) == 152);

/// FNV-1a, 64 bits, over 8-byte words and then the bytes that are left.
std::uint64_t fnv1a(const void* data, std::size_t bytes);

}  // namespace vq::decode
