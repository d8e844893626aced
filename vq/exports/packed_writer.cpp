// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/packed_writer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/error.h"

namespace vq {

using decode::BlobRecord;
using decode::CodebookRecord;
using decode::FileHeader;
using decode::NameRef;
using decode::Section;
using decode::section_align;
using decode::SegmentRecord;
using decode::TensorKind;
using decode::TensorRecord;

namespace {

template <class T>
void append(std::string& to, const std::vector<T>& records) {
    to.append(reinterpret_cast<const char*>(records.data()), records.size() * sizeof(T));
}

}  // namespace

struct PackedWriter::Impl {
    PackedSink sink;
    std::uint64_t at = 0;
    std::string names;
    std::vector<BlobRecord> blobs;
    std::vector<CodebookRecord> codebooks;
    std::vector<TensorRecord> tensors;
    std::vector<SegmentRecord> segments;
    /// Codebooks by name, dimension and bits of stages.
    std::map<std::pair<std::string, std::vector<std::uint32_t>>, std::vector<std::uint32_t>> shared;

    void write(const void* data, std::size_t bytes) {
        if (bytes == 0) return;
        sink(at, data, bytes);
        at += bytes;
    }
    void align() {
        const char zeros[section_align] = {};
        write(zeros,
              static_cast<std::size_t>((section_align - at % section_align) % section_align));
    }
    Section section(const void* data, std::size_t bytes) {
        align();
        const Section s{at, bytes};
        write(data, bytes);
        return s;
    }
    Section halves(const std::vector<float>& values) {
        std::vector<Half> words(values.size());
        half_from_float(values.data(), static_cast<Index>(values.size()), words.data());
        return section(words.data(), words.size() * sizeof(Half));
    }
    NameRef name(const std::string& text) {
        const NameRef ref{static_cast<std::uint32_t>(names.size()),
                          static_cast<std::uint32_t>(text.size())};
        names += text;
        return ref;
    }
};

PackedWriter::PackedWriter(PackedSink sink) : impl_(std::make_unique<Impl>()) {
    impl_->sink = std::move(sink);
    const FileHeader none{};  // a file without its header is not taken for one
    impl_->write(&none, sizeof(none));
}
PackedWriter::~PackedWriter() = default;

void PackedWriter::add_blob(const std::string& name, std::string_view bytes) {
    const NameRef ref = impl_->name(name);
    impl_->blobs.push_back({ref, impl_->section(bytes.data(), bytes.size())});
}

std::uint32_t PackedWriter::add_codebook(const float* words, Index entries, Index dim) {
    const std::vector<float> values(words, words + entries * dim);
    impl_->codebooks.push_back({static_cast<std::uint32_t>(entries),
                                static_cast<std::uint32_t>(dim), impl_->halves(values)});
    return static_cast<std::uint32_t>(impl_->codebooks.size() - 1);
}

void PackedWriter::add_tensor(const PackedTensor& t) {
    std::vector<std::vector<std::uint32_t>> codebooks;
    for (const PackedSegment& s : t.segments) codebooks.push_back(add_codebooks(s));
    TensorRecord r{};
    r.name = impl_->name(t.name);
    r.rows = static_cast<std::uint64_t>(t.rows);
    r.cols = static_cast<std::uint64_t>(t.cols);
    r.kind = t.kind;
    if (t.kind != TensorKind::coded) {
        r.dense = impl_->section(t.dense.data(), t.dense.size());
        impl_->tensors.push_back(r);
        return;
    }
    r.padded_rows = static_cast<std::uint64_t>(t.padded_rows);
    r.padded_cols = static_cast<std::uint64_t>(t.padded_cols);
    r.scale_kind = t.scale_kind;
    r.scale_group = static_cast<std::uint64_t>(t.scale_group);
    if (t.scale_kind == decode::ScaleKind::tensor) {
        VQ_ASSERT(t.scales.size() == 1);
        r.scales = impl_->section(t.scales.data(), sizeof(float));
    } else {
        r.scales = impl_->halves(t.scales);
    }
    if (!t.column_scale.empty()) r.column_scale = impl_->halves(t.column_scale);
    if (!t.permutation.empty())
        r.permutation =
            impl_->section(t.permutation.data(), t.permutation.size() * sizeof(std::uint32_t));
    r.seed_in = t.seed_in;
    r.seed_out = t.seed_out;
    r.rotations =
        (t.rotated_in ? decode::rotate_in : 0u) | (t.rotated_out ? decode::rotate_out : 0u);
    r.first_segment = static_cast<std::uint32_t>(impl_->segments.size());
    r.segments = static_cast<std::uint32_t>(t.segments.size());
    std::uint64_t col = 0;
    for (std::size_t i = 0; i < t.segments.size(); ++i) {
        const PackedSegment& s = t.segments[i];
        SegmentRecord record = s.record;
        std::copy(codebooks[i].begin(), codebooks[i].end(), record.codebook);
        record.col0 = col;
        col += record.cols;
        record.codes = impl_->section(s.codes.data(), s.codes.size());
        const char slack[decode::code_slack] = {};
        impl_->write(slack, sizeof(slack));
        record.codes.bytes += sizeof(slack);
        impl_->segments.push_back(record);
    }
    impl_->tensors.push_back(r);
}

std::vector<std::uint32_t> PackedWriter::add_codebooks(const PackedSegment& s) {
    // A store may cut the same words into other stages for another tensor.
    std::vector<std::uint32_t> form = {s.record.dim};
    form.insert(form.end(), s.record.stage_bits, s.record.stage_bits + s.codebooks.size());
    const std::pair key(s.shared, std::move(form));
    if (const auto found = impl_->shared.find(key); found != impl_->shared.end())
        return found->second;
    std::vector<std::uint32_t> ids;
    for (const std::vector<float>& words : s.codebooks)
        ids.push_back(add_codebook(words.data(), static_cast<Index>(words.size()) / s.record.dim,
                                   s.record.dim));
    if (!s.shared.empty()) impl_->shared[key] = ids;
    return ids;
}

std::uint64_t PackedWriter::finish() {
    std::string directory;
    append(directory, impl_->blobs);
    append(directory, impl_->codebooks);
    append(directory, impl_->tensors);
    append(directory, impl_->segments);
    directory += impl_->names;
    FileHeader header{};
    std::memcpy(header.magic, decode::packed_magic, sizeof(header.magic));
    header.version = decode::packed_version;
    header.header_bytes = sizeof(header);
    header.directory = impl_->section(directory.data(), directory.size());
    header.file_bytes = impl_->at;
    header.blobs = static_cast<std::uint32_t>(impl_->blobs.size());
    header.codebooks = static_cast<std::uint32_t>(impl_->codebooks.size());
    header.tensors = static_cast<std::uint32_t>(impl_->tensors.size());
    header.segments = static_cast<std::uint32_t>(impl_->segments.size());
    header.directory_checksum = decode::fnv1a(directory.data(), directory.size());
    header.header_checksum = decode::fnv1a(&header, offsetof(FileHeader, header_checksum));
    impl_->sink(0, &header, sizeof(header));
    return header.file_bytes;
}

PackedSink PackedBuffer::sink() {
    return [this](std::uint64_t offset, const void* data, std::size_t bytes) {
        const std::size_t end = static_cast<std::size_t>(offset) + bytes;
        size_ = std::max(size_, end);
        const std::size_t lines = (size_ + section_align - 1) / section_align;
        if (lines_.capacity() < lines) lines_.reserve(lines * 3 / 2);
        lines_.resize(std::max(lines_.size(), lines));
        std::memcpy(this->bytes() + offset, data, bytes);
    };
}

}  // namespace vq
