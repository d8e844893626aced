// SPDX-License-Identifier: Apache-2.0
// TensorFields: what a store says of one tensor, read with checks. Nothing in a file is trusted:
// every fault is one Error that names the tensor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/matrix.h"
#include "io/files/array.h"

namespace vq {

/// The name of a segment's array: "codes", "codes_1", ...
std::string segment_array(const std::string& base, std::size_t segment);

/// What is said of a tensor whose description or arrays cannot be right.
Error damaged_tensor(const std::string& what, const std::string& where);

class TensorFields {
public:
    TensorFields(const std::map<std::string, Array>& arrays, std::string where);

    [[noreturn]] void fail(const std::string& what) const;
    /// An integer within [low, high].
    Index integer(const Json& from, const char* key, Index low, Index high) const;
    const Array& array(const std::string& name) const;
    /// One of `count` elements.
    const Array& array(const std::string& name, Index count) const;
    /// Values of a float array, all finite; `name` is for the message.
    std::vector<float> floats(const std::string& name, const Array& array) const;
    /// Codes of `width` bits, bit-packed as bytes.
    std::vector<std::uint64_t> codes(const std::string& name, Index count, int width) const;

private:
    const std::map<std::string, Array>& arrays_;
    std::string where_;
};

}  // namespace vq
