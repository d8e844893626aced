// SPDX-License-Identifier: Apache-2.0
// Quantizes one linear layer: transform (W, H) together, choose or train its codes, feed errors
// forward, refine, and undo the transform. Every method is this one path with other settings.
#pragma once

#include <map>
#include <string>

#include "base/codes/family.h"
#include "base/progress.h"
#include "vq/layer/hessian.h"
#include "vq/layer/hessian_factors.h"
#include "vq/layer/settings.h"
#include "vq/tensor/quantized_tensor.h"

namespace vq {

/// A quantized tensor, and how it came about.
struct QuantizedLayer : QuantizedTensor {
    HessianReport hessian;
    RefineReport refine;
    Matrix
        what;  ///< the reconstruction in the original space, side terms included, size (rows, cols)
};

/// W (m, n), finite. `shared` empty: the tensor trains its own codebooks; else [0] is the code of
/// all columns (or all but outliers), [1] that of outliers, or one for each rate, ascending. `name` is for errors;
/// `seed` is this tensor's. Deterministic at any number of threads. `inputs` keeps the factors for
/// the group's next tensor; the second form is for a tensor by itself. Stops within a second when
/// `progress` is cancelled (Cancelled), and may ask it from any thread.
QuantizedLayer quantize_layer(const Matrix& w, HessianFactors& inputs, const Settings& settings,
                              const SharedCodes& shared, std::uint64_t seed,
                              const std::string& name, const Progress& progress);
QuantizedLayer quantize_layer(const Matrix& w, const HessianSum& inputs, const Settings& settings,
                              const SharedCodes& shared, std::uint64_t seed,
                              const std::string& name, const Progress& progress);

/// The errors of What (m, n) against W under H as collected, undamped (the identity if never seen).
TensorErrors errors_under(const Matrix& w, const Matrix& what, const HessianSum& inputs);

/// Training vectors for a shared codebook from one tensor: transformed, scaled as they will be
/// encoded, at most `count` vectors of `dim` weights picked evenly, size (<= count, dim).
Matrix sample_vectors(const Matrix& w, const Settings& settings, int dim, Index count,
                      std::uint64_t seed);

/// Sizes after padding to whole vectors and feedback blocks.
TensorShape padded_shape(TensorShape shape, const Settings& settings);

/// Columns that the outlier code serves, of n.
Index outlier_columns(Index n, const Settings& settings);

}  // namespace vq
