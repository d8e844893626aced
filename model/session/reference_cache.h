// SPDX-License-Identifier: Apache-2.0
// A reference's predictions in a file (HDF5), so that models can be compared with it on another day
// and on a machine that could not hold it: ReferenceTable's arrays, checksummed, with what they are
// of.
#pragma once

#include <string>

#include "base/json.h"
#include "model/eval_windows.h"
#include "model/reference_table.h"

namespace vq {

/// Writes the table of `text` to `path`, whole or not at all. `provenance` says which model it is
/// of, for people.
void write_reference_cache(const std::string& path, const ReferenceTable& table,
                           const EvalText& text, const Json& provenance);

struct ReferenceCache {
    ReferenceTable table;
    Json provenance;
};

/// Reads what write_reference_cache() wrote. Throws Error when the file is damaged, and when it is of
/// another text, tokenizer, window or protocol than `text`, with which of them differ, or of another
/// vocabulary.
ReferenceCache read_reference_cache(const std::string& path, const EvalText& text,
                                    Index vocab_size);

}  // namespace vq
