// PackedFile: a packed file in memory, checked from end to end when it is opened, so that kernels
// need no checks. Nothing is copied but codebooks, in the forms that kernels read, and the signs of
// rotations are drawn.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/half.h"
#include "base/packed/format.h"

namespace vq::decode {

using Index = std::int64_t;

/// The stages of a lookup-table code as integers: every codeword rounded to 14 bits with one scale.
struct LutCodebooks {
    /// Stage after stage; within one [16 codewords][d / 2][16][2]: pairs of dimensions side by
    /// side.
    std::vector<std::int16_t> words;
    float scale = 0;  ///< codeword = scale * word
};

struct GridTable;
struct ByteCodebook;

struct Segment {
    Index col0 = 0;
    Index cols = 0;
    CodeKind code = CodeKind::table;
    bool along_outputs = false;
    int dim = 1;
    int stages = 0;
    int stage_bits[most_stages] = {};
    int bits = 0;                                   ///< of one code
    const float* codebook[most_stages] = {};        ///< [2^stage_bits][dim]
    const LutCodebooks* lut = nullptr;              ///< code lut
    const GridTable* grid = nullptr;                ///< code grid
    const ByteCodebook* vectors[most_stages] = {};  ///< code table, where bytes are near enough
    TrellisValue trellis_value = TrellisValue::byte_sum;
    int trellis_bits = 0;
    Index tile_rows = 0;
    std::uint32_t multiplier[2] = {};
    std::uint32_t addend[2] = {};
    float gain[2] = {};
    const std::uint8_t* codes = nullptr;
    Index code_bytes = 0;  ///< without the slack

    Index groups() const { return cols / dim; }
};

struct Tensor {
    std::string_view name;
    Index rows = 0;
    Index cols = 0;
    Index padded_rows = 0;
    Index padded_cols = 0;
    TensorKind kind = TensorKind::coded;
    const std::uint8_t* dense = nullptr;
    ScaleKind scale_kind = ScaleKind::tensor;
    Index scale_group = 0;
    float tensor_scale = 1;
    const Half* scales = nullptr;
    const Half* column_scale = nullptr;
    const std::uint32_t* permutation = nullptr;
    bool rotated_in = false;
    bool rotated_out = false;
    const std::uint64_t* signs_in = nullptr;  ///< of the rotations, a bit a value (rotation.h)
    const std::uint64_t* signs_out = nullptr;
    std::span<const Segment> segments;
    std::uint64_t bytes = 0;  ///< of all its sections

    float scale(Index row) const {  ///< not for ScaleKind::group
        return scale_kind == ScaleKind::tensor ? tensor_scale : float_from_half(scales[row]);
    }
};

struct Blob {
    std::string_view name;
    std::string_view data;
};

class PackedFile {
public:
    /// Throws Error when anything in the file is not as it must be. `data` must stay.
    PackedFile(const void* data, std::size_t bytes);
    ~PackedFile();
    PackedFile(PackedFile&&) noexcept;
    const std::vector<Tensor>& tensors() const { return tensors_; }
    const std::vector<Blob>& blobs() const { return blobs_; }

private:
    struct Codebook {
        std::uint32_t entries = 0;
        std::uint32_t dim = 0;
        const Half* words = nullptr;
        std::vector<float> values;  ///< filled when a segment first needs it
    };
    class Reader;

    std::vector<Blob> blobs_;
    std::vector<Tensor> tensors_;
    std::vector<Segment> segments_;
    std::vector<Codebook> codebooks_;
    /// By seed and length.
    std::map<std::pair<std::uint64_t, Index>, std::vector<std::uint64_t>> signs_;
    std::map<std::vector<std::uint32_t>, std::unique_ptr<LutCodebooks>> luts_;
    std::map<std::uint32_t, std::unique_ptr<GridTable>> grids_;
    std::map<std::uint32_t, std::unique_ptr<ByteCodebook>> byte_codebooks_;
};

}  // namespace vq::decode
