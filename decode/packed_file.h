// PackedFile: a packed file in memory, checked from end to end when it is opened, so that kernels
// need no checks. Nothing is copied but codebooks, in the forms that kernels read, and the signs of
// rotations are drawn.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/packed/segment.h"

namespace vq::decode {

struct GridTable;
struct ByteCodebook;

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
