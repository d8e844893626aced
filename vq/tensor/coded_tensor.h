// SPDX-License-Identifier: Apache-2.0
// CodedTensor: a weight matrix as codes, codebooks and scales. It knows how vectors lie in the
// matrix (along input columns or along output rows), which code serves which columns, and what a
// stored weight costs; what to encode is decided elsewhere (feedback, refiner).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/codes/code.h"
#include "base/codes/code_array.h"
#include "base/codes/code_settings.h"
#include "base/json.h"
#include "base/matrix.h"
#include "io/hdf5/store.h"

namespace vq {

/// How many scales: one for the tensor, one an output row, or one a row and group of columns.
struct ScaleLayout {
    enum class Scope { tensor, row, group } scope = Scope::tensor;
    Index group = 0;  ///< columns a group
};

/// Columns [col0, col0 + cols) and the code that serves them.
struct Segment {
    Index col0 = 0;
    Index cols = 0;
    CodePtr code;
    std::string
        shared;       ///< name of the codebook when several tensors share it; empty: the tensor's
    CodeArray codes;  ///< in the order of code_index()
};

class CodedTensor {
public:
    CodedTensor() = default;
    /// rows and cols are those of the padded matrix: multiples of what the codes need. Segments
    /// without codes get those of number zero.
    CodedTensor(Index rows, Index cols, Along along, ScaleLayout layout,
                std::vector<Segment> segments);

    Index rows() const { return rows_; }
    Index cols() const { return cols_; }
    Along along() const { return along_; }
    const ScaleLayout& layout() const { return layout_; }
    const std::vector<Segment>& segments() const { return segments_; }
    std::vector<Segment>& segments() { return segments_; }

    /// Scales, size (1, 1), (rows, 1) or (rows, groups). Set before encoding.
    const Matrix& scales() const { return scales_; }
    /// Takes scales, rounded to what the store keeps (fp32 for one scale, fp16 otherwise).
    void set_scales(const Matrix& scales);
    float scale(Index i, Index j) const {
        return scales_(scales_.rows() == 1 ? 0 : i, scales_.cols() == 1 ? 0 : j / layout_.group);
    }
    /// Scales that make the root mean square of what the codes see equal to 1.
    void fit_scales(const Matrix& w);

    /// Sets the scale to 0 wherever all weights under it are 0 in `w`: what was zero decodes to
    /// zero, and not to the nearest codeword.
    void clear_zero_scales(const Matrix& w);

    const Segment& segment_of(Index col) const;
    Segment& segment_of(Index col);
    /// Rows a panel must be a multiple of (d for vectors along outputs, else 1).
    Index row_unit() const;

    /// Encodes target (rows_n, cols_n) at (row0, col0), a block within one segment, under the
    /// metric (metric_n, metric_n; null = identity), of which vectors along inputs use their
    /// diagonal block; writes what (rows_n, cols_n) and, if `codes` is null, the codes of this
    /// tensor. Else the search starts from this tensor's codes (Code::improve), they stay, and what
    /// was found goes to `codes`, in the order of vectors (row, then group).
    void encode_block(Index row0, Index rows_n, Index col0, Index cols_n, const float* target,
                      const float* metric, float* what, std::uint64_t* codes);
    /// Position in segment_of(col).codes of the vector that starts at (row, col).
    Index code_index(const Segment& s, Index row, Index col) const;

    /// The whole matrix, size (rows, cols).
    Matrix decode() const;
    /// Rows [row0, row0 + rows_n), any, size (rows_n, cols). Single-threaded.
    Matrix decode_rows(Index row0, Index rows_n) const;
    /// The same with other codebook parameters (all segments' one after the other), unrounded.
    Matrix decode_rows_with(const std::vector<float>& parameters, Index row0, Index rows_n) const;
    std::vector<float> parameters() const;
    /// Gradient with respect to parameters() of <g, decode()>, g (rows, cols), of which `fill`
    /// gives rows [row0, row0 + rows_n) in the size (rows_n, cols): only some of them are in memory
    /// at a time.
    using FillRows = std::function<void(Index row0, Index rows_n, float* g)>;
    std::vector<double> adjoint(const FillRows& fill) const;

private:
    /// Vectors of one unit of a segment (a row, or d rows that share codes), scaled, into rows of
    /// `out`, whose first is row0; those outside are left out.
    void place(const Segment& s, Index unit, const float* xhat, Index row0, Matrix& out) const;
    /// The first row of a chunk of adjoint().
    Index chunk_row(const Segment& s, Index chunk) const;
    /// sum += gradient of rows [from, to), whole units; g begins at row0.
    void add_adjoint(const Segment& s, Index from, Index to, const Matrix& g, Index row0,
                     double* sum) const;

    Index rows_ = 0;
    Index cols_ = 0;
    Along along_ = Along::inputs;
    ScaleLayout layout_;
    Matrix scales_;
    std::vector<Segment> segments_;
};

}  // namespace vq
