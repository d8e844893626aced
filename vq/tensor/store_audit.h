// SPDX-License-Identifier: Apache-2.0
// The audit of a store: every byte of the file by what it is for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vq {

struct AuditEntry {
    std::string kind;  ///< "codes", "embedding and head", "tokenizer", ...
    std::int64_t bytes = 0;
};

struct Audit {
    std::vector<AuditEntry> entries;  ///< kinds that occur, in a fixed order
    std::int64_t file_bytes = 0;
    std::int64_t unexplained() const;  ///< what is of no kind: 0 unless the audit has a fault
};

/// Throws Error when `path` is not a store.
Audit audit_store(const std::string& path);

}  // namespace vq
