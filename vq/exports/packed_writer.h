// SPDX-License-Identifier: Apache-2.0
// Writes packed files (base/packed/format.h, docs/packed-format.md): the form of a model that
// kernels read. This unit knows the file; how codes lie in a segment the folders of codes know, and
// what a store's tensors become is vq/exports/export_packed.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/codes/packed_segment.h"
#include "base/half.h"
#include "base/matrix.h"
#include "base/packed/format.h"

namespace vq {

struct PackedTensor {
    std::string name;
    Index rows = 0;
    Index cols = 0;
    decode::TensorKind kind = decode::TensorKind::coded;
    std::vector<std::uint8_t> dense;  ///< dense kinds
    Index padded_rows = 0;            ///< coded kinds, all below
    Index padded_cols = 0;
    decode::ScaleKind scale_kind = decode::ScaleKind::tensor;
    Index scale_group = 0;
    std::vector<float> scales;  ///< one, or rounded to fp16
    std::vector<float> column_scale;
    std::vector<std::uint32_t> permutation;
    bool rotated_in = false;
    bool rotated_out = false;
    std::uint64_t seed_in = 0;
    std::uint64_t seed_out = 0;
    std::vector<PackedSegment> segments;
};

/// Where the bytes go: write(offset, data, bytes), offsets ascending but for the header, which
/// comes last.
using PackedSink = std::function<void(std::uint64_t offset, const void* data, std::size_t bytes)>;

class PackedWriter {
public:
    explicit PackedWriter(PackedSink sink);
    ~PackedWriter();
    PackedWriter(const PackedWriter&) = delete;
    PackedWriter& operator=(const PackedWriter&) = delete;

    void add_blob(const std::string& name, std::string_view bytes);
    /// A stage's codewords, size (entries, dim), rounded to fp16; returns its index for
    /// SegmentRecord::codebook.
    std::uint32_t add_codebook(const float* words, Index entries, Index dim);
    /// With the codebooks of its segments, those of one name (and form) once.
    void add_tensor(const PackedTensor& tensor);
    /// Writes directory and header; returns the file's size.
    std::uint64_t finish();

private:
    std::vector<std::uint32_t> add_codebooks(const PackedSegment& segment);

    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// A whole packed file in memory, aligned as vqd_open() asks.
class PackedBuffer {
public:
    PackedSink sink();
    /// Makes room for a file of `bytes`.
    void reserve(std::size_t bytes) { lines_.reserve(bytes / decode::section_align + 1); }
    const void* data() const { return lines_.data(); }
    std::uint8_t* bytes() { return lines_.empty() ? nullptr : lines_[0].bytes; }
    std::size_t size() const { return size_; }

private:
    struct alignas(decode::section_align) Line {
        std::uint8_t bytes[decode::section_align];
    };
    std::vector<Line> lines_;
    std::size_t size_ = 0;
};

}  // namespace vq
