// SPDX-License-Identifier: Apache-2.0
// The interface of a packed code: how a segment's record is checked, how its codes become values,
// and the kernels that read them as they lie. One constant a layout, in the folder of its code;
// decode/codes.cpp lists them all, and nothing else in decode/ knows any of them.
//
// Adding one: a struct derived from Segment, a reader, values(), reference kernels in plain code
// (CodeKernels), and kernels for instruction sets where that pays; the others name the reference.
// decode.cmake in the folder lists the sources.
#pragma once

#include <memory>
#include <string>

#include "base/packed/code_kernels.h"
#include "base/packed/packed_codebooks.h"
#include "base/packed/segment.h"

namespace vq::decode {

/// What is known of a segment before its code reads the record.
struct SegmentPlace {
    Index col0, cols;
    const Tensor& tensor;      ///< scales and extents are read
    PackedCodebooks& books;    ///< of the file
    const std::string& where;  ///< for errors
};

struct PackedCode {
    CodeKind kind;
    const char* name;
    Index tile_rows;  ///< the padded rows of its tensors are a multiple of it
    /// Checks a record, of which nothing is trusted, and makes the segment, all but its codes: what
    /// kernels then do without checks stays within them. Throws Error.
    std::shared_ptr<Segment> (*read)(const SegmentRecord& r, const SegmentPlace& place);
    /// Checks the codes themselves. Null: any bits are codes.
    void (*check_codes)(const Segment& s, const std::string& where);
    /// Values of row `row` without the tensor's scales: units [first, first + count) of
    /// Segment::width columns.
    void (*values)(const Segment& s, Index row, Index first, Index count, float* out);
    /// Values of rows [row, row + rows), columns [col, col + cols), rows `stride` apart. Null:
    /// values() row by row does as well.
    void (*block)(const Segment& s, Index row, Index rows, Index col, Index cols, float* out,
                  Index stride);
    const CodeKernels* kernels[kernel_sets];  ///< by KernelSet
};

/// A segment of type S with what every segment has.
template <class S>
std::shared_ptr<S> make_segment(const SegmentPlace& place) {
    auto s = std::make_shared<S>();
    s->col0 = place.col0;
    s->cols = place.cols;
    s->rows = place.tensor.padded_rows;
    return s;
}

}  // namespace vq::decode
