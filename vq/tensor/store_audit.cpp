// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/store_audit.h"

#include <map>
#include <utility>

#include "io/hdf5/store.h"
#include "io/hdf5/store_space.h"
#include "vq/tensor/store_totals.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

const char* const kinds[] = {"codes",
                             "scales",
                             "codebooks",
                             "transforms",
                             "side terms",
                             "embedding and head",
                             "tensors kept as they are",
                             "tokenizer",
                             "configuration",
                             "provenance",
                             "checksums",
                             "padding of chunks",
                             "headers and attributes",
                             "indexes",
                             "superblock",
                             "gaps between blocks"};

/// Of an array of a coded linear layer.
const char* kind_of(const std::string& array) {
    if (array.starts_with("codebooks")) return "codebooks";
    if (array.starts_with("codes")) return "codes";
    if (array == "row_scale") return "scales";
    if (array == "col_scale" || array == "perm") return "transforms";
    return "side terms";
}

}  // namespace

std::int64_t Audit::unexplained() const {
    std::int64_t left = file_bytes;
    for (const AuditEntry& entry : entries) left -= entry.bytes;
    return left;
}

Audit audit_store(const std::string& path) {
    const StoreReader store(path);
    const StoreSpace space = store_space(path);
    std::map<std::string, const char*> tensors;  // whose arrays are all of one kind
    for (const std::string& name : store.names()) {
        const StoredTensor tensor = store.info(name);
        if (is_embedding(tensor)) tensors[name] = "embedding and head";
        if (is_dense(tensor)) tensors[name] = "tensors kept as they are";
    }
    std::map<std::string, std::int64_t> bytes;
    for (const DatasetSpace& d : space.datasets) {
        const auto whole = tensors.find(d.owner);
        const char* kind = d.group == "tokenizer"   ? "tokenizer"
                           : d.group == "codebooks" ? "codebooks"
                           : d.group.empty() ? (d.name == "config" ? "configuration" : "provenance")
                           : whole != tensors.end() ? whole->second
                                                    : kind_of(d.name);
        bytes[kind] += d.bytes;
        bytes["checksums"] += d.checksums;
        bytes["padding of chunks"] += d.padding;
    }
    bytes["headers and attributes"] = space.headers;
    bytes["indexes"] = space.indexes;
    bytes["superblock"] = space.superblock;
    bytes["gaps between blocks"] = space.gaps;
    Audit audit;
    audit.file_bytes = space.file_bytes;
    for (const char* kind : kinds)
        if (const std::int64_t n = bytes[kind]; n > 0) audit.entries.push_back({kind, n});
    return audit;
}

}  // namespace vq
