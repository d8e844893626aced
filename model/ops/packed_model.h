// SPDX-License-Identifier: Apache-2.0
// A packed file (docs/packed-format.md) as a WeightSource: mapped, never read whole. Its tensors
// can be read as floats like any other model's, or be multiplied with as they lie.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "decode/vqkit_decode.hpp"
#include "io/checkpoints/weight_source.h"
#include "io/files/mapped_file.h"

namespace vq {

/// An opened packed file and its names.
class PackedWeights {
public:
    /// Throws Error that names the path when it is no packed file, or a damaged one.
    explicit PackedWeights(const std::string& path);
    const vqd::File& file() const { return file_; }
    const MappedFile& map() const { return map_; }
    const std::map<std::string, std::size_t>& index() const { return index_; }
    /// Throws Error when there is no such tensor.
    std::size_t find(const std::string& name) const;

private:
    MappedFile map_;
    vqd::File file_;
    std::map<std::string, std::size_t> index_;
};

/// Opens a packed model. Throws Error when it is none, or lacks a tensor that its model needs.
std::unique_ptr<WeightSource> open_packed_model(const std::string& path);

/// True when `path` is a file that begins as packed files do.
bool is_packed(const std::string& path);

}  // namespace vq
