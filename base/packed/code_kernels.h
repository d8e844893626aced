// SPDX-License-Identifier: Apache-2.0
// The kernels of a code (base/packed/packed_code.h).
#pragma once

#include "base/packed/activation.h"
#include "base/packed/kernels.h"
#include "base/packed/panel.h"
#include "base/packed/segment.h"

namespace vq::decode {

/// The integer kernels of one instruction set. All of them give the same bits.
struct CodeKernels {
    /// Prepares part `item` of the inputs of a product: x, the segment's activations, size (cols),
    /// to `inputs`, size (input_bytes), aligned to 64 bytes.
    void (*inputs)(const Kernels& shared, const Segment& s, const float* x, Index item,
                   void* inputs);
    /// y[r] += sum_j w_rj x_j for the rows [row, row + count), size (count): rows_an_item of them
    /// from a multiple of that on, or those that are left. With a scale a group of columns they are
    /// applied here, other scales by the caller.
    void (*rows)(const Tensor& t, const Segment& s, const void* inputs, Index row, Index count,
                 float* y);
    /// A panel of rows [row, row + count) and columns [col, col + cols) of the segment, where `row`
    /// is a multiple of panel_rows and `col` one of panel_cols. It may lie in `room` or in the
    /// codes. Null, or Segment::panels false: the caller decodes to floats and rounds.
    PanelWeights (*panel)(const Tensor& t, const Segment& s, Index row, Index count, Index col,
                          Index cols, PanelRoom& room);
};

/// CodeKernels::inputs of codes that read ByteActivations and nothing else: input_bytes is
/// byte_room(cols).end.
void byte_inputs(const Kernels& shared, const Segment& s, const float* x, Index item, void* inputs);

}  // namespace vq::decode
