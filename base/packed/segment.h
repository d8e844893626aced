// SPDX-License-Identifier: Apache-2.0
// A tensor of a packed file as kernels see it: checked, with pointers instead of offsets.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/half.h"
#include "base/packed/format.h"

namespace vq::decode {

using Index = std::int64_t;

static inline Index ceil_div(Index a, Index b) {
    return (a + b - 1) / b;
}
/// a * b * c, none negative; -1 when that does not fit into an Index.
static inline Index product_or_none(Index a, Index b, Index c) {
    Index all = 0;
    return __builtin_mul_overflow(a, b, &all) || __builtin_mul_overflow(all, c, &all) ? -1 : all;
}

struct PackedCode;

/// A run of columns of a tensor in one code. What is said of every code, as data for the loops that
/// know none of them; each code derives a struct of its own with what its kernels read.
struct Segment {
    const PackedCode* code = nullptr;
    Index col0 = 0;  ///< of the tensor's padded columns
    Index cols = 0;
    Index rows = 0;  ///< the tensor's padded rows

    Index width = 1;         ///< columns that are decoded together: of a vector along inputs
    bool direct = false;     ///< integer kernels read the codes; else they are decoded to floats
    Index input_items = 1;   ///< parts of the inputs, which several threads may prepare
    Index input_bytes = 0;   ///< of the prepared inputs of one vector
    Index rows_an_item = 0;  ///< rows that are worth a thread's while
    /// The code makes panels without floats in between (CodeKernels::panel), where the instruction
    /// set has such a kernel.
    bool panels = false;
    Index panel_cols = 128;  ///< of a panel: all of activation_group, or an even part of it

    const std::uint8_t* codes = nullptr;
    Index code_bytes = 0;  ///< without the slack; -1: more than an Index holds
};

struct Tensor {
    std::string_view name;
    Index rows = 0;
    Index cols = 0;
    Index padded_rows = 0;
    Index padded_cols = 0;
    TensorKind kind = TensorKind::coded;
    const std::uint8_t* dense = nullptr;
    ScaleKind scale_kind = ScaleKind::tensor;
    Index scale_group = 0;
    float tensor_scale = 1;
    const Half* scales = nullptr;
    const Half* column_scale = nullptr;
    const std::uint32_t* permutation = nullptr;
    bool rotated_in = false;
    bool rotated_out = false;
    const std::uint64_t* signs_in =
        nullptr;  ///< of the rotations, a bit a value (decode/rotation.h)
    const std::uint64_t* signs_out = nullptr;
    std::span<const Segment* const> segments;
    std::uint64_t bytes = 0;  ///< of all its sections

    float scale(Index row) const {  ///< not for ScaleKind::group
        return scale_kind == ScaleKind::tensor ? tensor_scale : float_from_half(scales[row]);
    }
};

}  // namespace vq::decode
