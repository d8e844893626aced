// SPDX-License-Identifier: Apache-2.0
#include "model/packed_audit.h"

#include <algorithm>
#include <cstring>
#include <map>

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

}  // namespace

Audit audit_packed(const PackedWeights& file, const std::vector<std::string>& tables) {
    Directory directory(file);
    const decode::FileHeader& header = directory.header;
    const auto blobs = directory.records<decode::BlobRecord>(header.blobs);
    const auto codebooks = directory.records<decode::CodebookRecord>(header.codebooks);
    const auto tensors = directory.records<decode::TensorRecord>(header.tensors);
    const auto segments = directory.records<decode::SegmentRecord>(header.segments);

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
    std::uint64_t sections = 0;
    for (const auto& [kind, n] : bytes) sections += n;
    // Sections begin at multiples of 64.
    bytes["gaps between sections"] = header.file_bytes - sections;
    for (const char* kind : kinds)
        if (const std::uint64_t n = bytes[kind]; n > 0)
            audit.entries.push_back({kind, static_cast<std::int64_t>(n)});
    return audit;
}

}  // namespace vq
