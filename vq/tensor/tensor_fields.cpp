// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/tensor_fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/bits.h"
#include "io/files/checked_math.h"

namespace vq {

std::string segment_array(const std::string& base, std::size_t segment) {
    return segment == 0 ? base : base + "_" + std::to_string(segment);
}

Error damaged_tensor(const std::string& what, const std::string& where) {
    return {what, where, "the store is damaged; run `vq verify`, or quantize again"};
}

TensorFields::TensorFields(const std::map<std::string, Array>& arrays, std::string where)
    : arrays_(arrays), where_(std::move(where)) {}

void TensorFields::fail(const std::string& what) const {
    throw damaged_tensor(what, where_);
}

Index TensorFields::integer(const Json& from, const char* key, Index low, Index high) const {
    if (!from.is_object() || !from.contains(key) || !from[key].is_number_integer())
        fail(std::string("no ") + key);
    const auto value = from[key].get<Index>();
    if (value < low || value > high) fail(std::string(key) + " is out of range");
    return value;
}

const Array& TensorFields::array(const std::string& name) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) fail("the array " + name + " is missing");
    return found->second;
}

const Array& TensorFields::array(const std::string& name, Index count) const {
    const Array& found = array(name);
    if (found.count() != count) fail("the array " + name + " has the wrong length");
    return found;
}

std::vector<float> TensorFields::floats(const std::string& name, const Array& array) const {
    if (!array.is_float()) fail("the array " + name + " is not of a float type");
    std::vector<float> values = array.to_f32();
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }))
        fail("a value of the array " + name + " is not finite");
    return values;
}

std::vector<std::uint64_t> TensorFields::codes(const std::string& name, Index count,
                                               int width) const {
    const Array& packed = array(name);
    if (packed.type != ElementType::u8 || !checked_product(count, width) ||
        static_cast<Index>(packed.bytes.size()) != packed_bytes(count, width))
        fail("the array " + name + " has the wrong length");
    return unpack_codes(packed.bytes, count, width);
}

}  // namespace vq
