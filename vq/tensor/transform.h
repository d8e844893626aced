// SPDX-License-Identifier: Apache-2.0
// Transform: an invertible map applied to the weights and the Hessian of a layer together, so that
// the proxy loss tr(E H E^T) of any error is the same before and after. With inputs x' = A^-T x and
// outputs y' = U y (U orthonormal):
//     W' = U W A,   H' = A^-1 H A^-T.
// Steps, applied in order: column scale (A = D), column permutation, random signs + Hadamard on the
// input side (A = R^T) and on the output side (U = R). Rotations are a seed, not data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/matrix.h"
#include "io/hdf5/store.h"

namespace vq {

struct TransformStep {
    enum class Kind { column_scale, permutation, hadamard_in, hadamard_out } kind;
    Vector scale;                      ///< column_scale: D, size (n), > 0
    std::vector<std::uint32_t> order;  ///< permutation: column c of W' is column order[c] of W
    std::uint64_t seed = 0;            ///< hadamard_in, hadamard_out
};

class Transform {
public:
    Transform() = default;  ///< identity
    explicit Transform(std::vector<TransformStep> steps) : steps_(std::move(steps)) {}
    /// W (m, n) := W'.
    void apply(Matrix& w) const;
    /// H (n, n) := H'.
    void apply_hessian(MatrixD& h) const;
    /// W' (m, n) := W.
    void invert(Matrix& w) const;
    const std::vector<TransformStep>& steps() const { return steps_; }

    /// How to rebuild it: a list of steps; what is data goes to `arrays` ("col_scale" as f16 bits,
    /// "perm" as u16 or u32).
    Json describe(std::map<std::string, Array>& arrays) const;
    /// The inverse of describe() for a tensor with `cols` columns. Throws Error (with `where`) when
    /// the description or an array does not fit.
    static Transform parse(const Json& spec, const std::map<std::string, Array>& arrays, Index cols,
                           const std::string& where);

private:
    std::vector<TransformStep> steps_;
};

/// Which steps a method asks for.
struct TransformSettings {
    enum class Hadamard { none, in, both } hadamard = Hadamard::none;
    /// none; weight: D_j = 1 / rms of column j of W (VPTQ's normalisation, here with H too);
    /// joint: D_j = (H_jj / mean_i W_ij^2)^(1/4), which makes both column profiles alike (QuIP#).
    /// activation: D_j = H_jj^(column_power / 2), so that columns with large inputs get finer steps
    /// (AWQ).
    enum class ColumnScale { none, weight, joint, activation } column_scale = ColumnScale::none;
    double column_power = 0.5;
    int power_search = 0;  ///< powers tried for each layer; 0: column_power
    /// Columns in descending order of diag(H) (VPTQ, GPTQ's act-order).
    bool permute = false;
};

/// Builds the transform for one layer, W (m, n), diag(H) (n). Scales are rounded to fp16 as stored.
Transform make_transform(const TransformSettings& settings, const Matrix& w,
                         const VectorD& h_diagonal, std::uint64_t seed);

}  // namespace vq
