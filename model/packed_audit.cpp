// SPDX-License-Identifier: Apache-2.0
#include "model/packed_audit.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/packed/format.h"

namespace vq {

namespace {

const char* const kinds[] = {"codes",
                             "room behind codes",
                             "scales",
                             "codebooks",
                             "transforms",
                             "embedding and head",
                             "tensors kept as they are",
                             "tokenizer",
                             "configuration",
                             "header and directory",
                             "gaps between sections"};

/// The records of a file that was checked when it was opened.
class Directory {
public:
    explicit Directory(const PackedWeights& file) : bytes_(file.map().bytes().data()) {
        std::memcpy(&header, bytes_, sizeof(header));
        at_ = header.directory.offset;
    }

    template <class T>
    std::vector<T> records(std::uint32_t count) {
        std::vector<T> out(count);
        if (count > 0) std::memcpy(out.data(), bytes_ + at_, count * sizeof(T));
        at_ += count * sizeof(T);
        return out;
    }
    /// Behind all records.
    std::string name(decode::NameRef ref) const {
        return {reinterpret_cast<const char*>(bytes_) + at_ + ref.offset, ref.bytes};
    }

    decode::FileHeader header{};

private:
    const std::uint8_t* bytes_;
    std::uint64_t at_ = 0;
};

/// Bytes between sections that their alignment explains; others are nobody's, and remain
/// unexplained. Throws Error where sections lie over each other.
std::uint64_t gaps(std::vector<decode::Section> sections, std::uint64_t file_bytes) {
    std::erase_if(sections, [](const decode::Section& s) { return s.bytes == 0; });
    std::sort(sections.begin(), sections.end(),
              [](const auto& a, const auto& b) { return a.offset < b.offset; });
    sections.push_back({file_bytes, 0});
    std::uint64_t end = 0;
    std::uint64_t sum = 0;
    for (const decode::Section& s : sections) {
        if (s.offset < end)
            throw Error("sections lie over each other", std::to_string(s.offset),
                        "make the packed file again");
        if (s.offset - end < decode::section_align) sum += s.offset - end;
        end = s.offset + s.bytes;
    }
    return sum;
}

}  // namespace

Audit audit_packed(const PackedWeights& file, const std::vector<std::string>& tables) {
    Directory directory(file);
    const decode::FileHeader& header = directory.header;
    const auto blobs = directory.records<decode::BlobRecord>(header.blobs);
    const auto codebooks = directory.records<decode::CodebookRecord>(header.codebooks);
    const auto tensors = directory.records<decode::TensorRecord>(header.tensors);
    const auto segments = directory.records<decode::SegmentRecord>(header.segments);

    std::vector<decode::Section> sections = {{0, sizeof(header)}, header.directory};
    for (const auto& blob : blobs) sections.push_back(blob.data);
    for (const auto& book : codebooks) sections.push_back(book.data);
    for (const auto& t : tensors)
        for (const decode::Section& s : {t.dense, t.scales, t.column_scale, t.permutation})
            sections.push_back(s);
    for (const auto& s : segments) sections.push_back(s.codes);

    std::map<std::string, std::uint64_t> bytes;
    bytes["header and directory"] = sizeof(header) + header.directory.bytes;
    for (const auto& blob : blobs)
        bytes[directory.name(blob.name) == "config.json" ? "configuration" : "tokenizer"] +=
            blob.data.bytes;
    for (const auto& book : codebooks) bytes["codebooks"] += book.data.bytes;
    for (const auto& t : tensors) {
        const bool table =
            std::find(tables.begin(), tables.end(), directory.name(t.name)) != tables.end();
        const auto add = [&](const char* kind, std::uint64_t n) {
            bytes[table ? "embedding and head" : kind] += n;
        };
        add("tensors kept as they are", t.dense.bytes);
        add("scales", t.scales.bytes);
        add("transforms", t.column_scale.bytes + t.permutation.bytes);
        for (std::uint32_t s = t.first_segment; s < t.first_segment + t.segments; ++s) {
            add("codes", segments[s].codes.bytes - decode::code_slack);
            bytes["room behind codes"] += decode::code_slack;
        }
    }
    Audit audit;
    audit.file_bytes = static_cast<std::int64_t>(header.file_bytes);
    bytes["gaps between sections"] = gaps(std::move(sections), header.file_bytes);
    for (const char* kind : kinds)
        if (const std::uint64_t n = bytes[kind]; n > 0)
            audit.entries.push_back({kind, static_cast<std::int64_t>(n)});
    return audit;
}

}  // namespace vq
