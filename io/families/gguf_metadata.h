// SPDX-License-Identifier: Apache-2.0
// Reads the metadata of a GGUF file by a family's row, and refuses what the row does not know.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/families/family.h"
#include "io/gguf/gguf.h"

namespace vq {

/// The row of the file's architecture; where several have it, the first that has experts as the
/// file does, their way of weighing, and windows if the file has them. Throws Error when none fits.
const Family& gguf_family(const GgufFile& file, std::span<const Family> table);

/// Blocks behind the last one that predict further tokens. Throws Error on an absurd number.
std::int64_t gguf_further_blocks(const GgufFile& file);

class GgufMetadata {
public:
    /// Both must outlive it. Throws Error when a key of the architecture is not known, with its
    /// name and value.
    GgufMetadata(const GgufFile& file, const Family& family);

    const GgufFile& file() const { return file_; }
    const Family& family() const { return family_; }
    /// "<architecture>.name".
    std::string key(std::string_view name) const { return prefix_ + std::string(name); }
    bool has(std::string_view name) const { return file_.has(key(name)); }
    /// An integer, or an array that holds one per layer if they are all equal.
    std::optional<std::int64_t> integer(std::string_view name) const;
    std::int64_t required(std::string_view name) const;
    /// An array of booleans, or of integers that stand for such.
    std::vector<bool> flags(std::string_view name) const;
    /// Which layers have windows, as the file lists them, else by the family's own rule.
    std::vector<bool> windows() const;
    std::optional<double> real(std::string_view name) const { return file_.get_float(key(name)); }
    [[noreturn]] void fail(const std::string& key, const std::string& what) const;

    /// A tensor of block `layer` by its role, or of the whole model; `kind` ".weight" or ".bias".
    const GgufTensor* tensor(TensorRole role, std::int64_t layer, const char* kind) const;
    /// The first block that has such a tensor.
    const GgufTensor* first(TensorRole role, const char* kind) const;
    /// Number of blocks, without those that predict further tokens.
    std::int64_t n_layers() const { return n_layers_; }

private:
    void check_keys() const;
    /// Keys that the runtime can follow at a single value only.
    void check_values() const;

    const GgufFile& file_;
    const Family& family_;
    std::string prefix_;
    std::int64_t n_layers_ = 0;
};

/// The name in a GGUF file of a tensor that a row calls `name`: most end in ".weight".
std::string gguf_weight_name(const std::string& name);

}  // namespace vq
