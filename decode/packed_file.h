// SPDX-License-Identifier: Apache-2.0
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

#include "base/packed/packed_codebooks.h"
#include "base/packed/segment.h"

namespace vq::decode {

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
    class Reader;

    std::vector<Blob> blobs_;
    std::vector<Tensor> tensors_;
    /// Of all tensors, one after the other; each has a part of the pointers.
    std::vector<std::shared_ptr<const Segment>> segments_;
    std::vector<const Segment*> segment_pointers_;
    PackedCodebooks codebooks_;
    /// By seed and length.
    std::map<std::pair<std::uint64_t, Index>, std::vector<std::uint64_t>> signs_;
};

}  // namespace vq::decode
