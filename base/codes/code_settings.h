// SPDX-License-Identifier: Apache-2.0
// CodeSettings: what a run says about its code, the part "code" of the settings together with what
// encoders and the training of codebooks take. Families of codes (family.h) read nothing else.
#pragma once

#include <string>
#include <vector>

#include "base/matrix.h"

namespace vq {

/// Vectors are d consecutive weights of one output row (inputs), or of one input column (outputs,
/// as in VPTQ).
enum class Along { inputs, outputs };

/// Whose codebook serves a tensor. `automatic`: the narrowest of tensor, layer and model that costs
/// at most code.overhead bits a weight.
enum class CodebookScope { automatic, tensor, layer, model, universal };

/// Fixed grids for single weights (codebooks/residual/scalar_grid.h).
enum class Grid {
    gaussian,      ///< Lloyd-Max: the least error on a Gaussian
    uniform,       ///< signed integers times the best step for a Gaussian
    normal_float,  ///< quantiles of a Gaussian with an exact zero (NF4, QLoRA 2305.14314)
    floating,      ///< sign, 2 exponent bits (1 of 2 bits), the rest mantissa; b = 4 is E2M1 (FP4)
};

struct KMeansSettings {
    int iterations = 25;
    Index samples = 1 << 18;  ///< vectors at most
    int joint_rounds = 4;     ///< least-squares rounds over all stages of a residual code
};

struct CodeSettings {
    std::string kind = "residual";  ///< name of a family
    int dim = 8;                    ///< d, weights a vector or a group
    Grid grid = Grid::gaussian;     ///< of single weights with scope universal
    double rate = 0;              ///< bits a weight on average (families with rates); 0: by --bits
    bool waterfill = true;        ///< columns get bits by their share of the loss (same families)
    std::vector<int> stage_bits;  ///< bits of each stage, or of a weight; one: k-means VQ
    Along along = Along::inputs;
    CodebookScope scope = CodebookScope::universal;
    double overhead = 0.02;    ///< for scope auto, in bits a weight
    int most_stage_bits = 16;  ///< when --bits sizes the code, its stages have at most these bits
    double outliers = 0;  ///< share of columns, largest diag(H) first, with a code of their own
    bool fill_outliers = false;  ///< --bits sizes the share of outliers, the rest has 1 bit
    int outlier_dim = 4;
    int outlier_bits = 12;
    int beam = 16;      ///< candidates that an encoder follows up
    int revisions = 0;  ///< rounds in which every stage is chosen again (additive codes)
    int tail = 64;      ///< weights on each side of a trellis's seam that choose its overlap
    KMeansSettings kmeans;
};

}  // namespace vq
