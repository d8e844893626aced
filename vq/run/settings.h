// Settings: every choice of a quantization run, grouped by the nine parts. A preset fills them,
// --bits sizes the code, --set part.key=value changes any one of them; describe_settings() is the
// help.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "codebooks/assign/kmeans.h"
#include "codebooks/scalar/scalar_grid.h"
#include "vq/layer/feedback.h"
#include "vq/layer/refine.h"
#include "vq/tensor/coded_tensor.h"
#include "vq/tensor/side_terms.h"
#include "vq/tensor/transform.h"

namespace vq {

/// What the error is weighed with.
enum class Objective { full, diagonal, identity };

/// Whose codebook serves a tensor. `automatic`: the narrowest of tensor, layer and model that costs
/// at most code.overhead bits a weight.
enum class CodebookScope { automatic, tensor, layer, model, universal };

/// Which family of codes. residual covers k-means VQ (one stage) and scalar grids (dim = 1);
/// grid is scalar grids of different bits in different columns.
enum class CodeKind { residual, e8p, trellis, bitmod, grid };

struct CodeSettings {
    CodeKind kind = CodeKind::residual;
    int dim = 8;                  ///< d, weights a vector (residual) or a group (bitmod)
    Grid grid = Grid::gaussian;   ///< of single weights with scope universal
    double rate = 0;              ///< bits a weight on average (trellis, grid); 0: by --bits
    bool waterfill = true;        ///< columns get bits by their share of the loss (trellis, grid)
    std::vector<int> stage_bits;  ///< bits of each stage (bitmod: of a weight); one: k-means VQ
    Along along = Along::inputs;
    CodebookScope scope = CodebookScope::universal;
    double overhead = 0.02;    ///< for scope auto, in bits a weight
    int most_stage_bits = 16;  ///< when --bits sizes the code, its stages have at most these bits
    double outliers = 0;  ///< share of columns, largest diag(H) first, with a code of their own
    bool fill_outliers = false;  ///< --bits sizes the share of outliers, the rest has 1 bit
    int outlier_dim = 4;
    int outlier_bits = 12;
};

struct KMeansSettings {
    int iterations = 25;
    Index samples = 1 << 18;  ///< vectors at most
    bool weighted = true;     ///< by diag(H)
    int joint_rounds = 4;     ///< least-squares rounds over all stages of a residual code
    AssignerKind assigner = AssignerKind::own;
};

struct Settings {
    std::string method;
    TransformSettings transform;
    Objective objective = Objective::full;
    double damping = 0.01;  ///< of the mean diagonal of H
    double correction =
        0;  ///< share of the prefix's drift that a layer makes good for, see drift.h
    CodeSettings code;
    SideSettings side;  ///< what is kept beside the codes
    int beam = 16;
    int revisions = 0;   ///< rounds in which every stage is chosen again (additive codes)
    int tail = 64;       ///< weights on each side of a trellis's seam that choose its overlap
    bool metric = true;  ///< the encoder compares its candidates in the local metric
    FeedbackOrder order = FeedbackOrder::backward;
    Index block = 0;  ///< columns a feedback block; 0: as wide as the vectors
    int passes = 1;   ///< feedback passes; codebooks of the tensor are trained anew in between
    ScaleLayout scale;
    double multiplier = 1;  ///< of the fitted scales
    int scale_search = 0;   ///< scales tried for each row before feedback; 0: the root mean square
    KMeansSettings kmeans;
    RefineSettings refine;
    bool bias = true;  ///< a layer's bias makes good for the mean error of its outputs
};

/// One setting as `--set` sees it.
struct SettingInfo {
    std::string name;   ///< "feedback.order"
    std::string help;   ///< what it does and the values it takes
    std::string value;  ///< in force
};
std::vector<SettingInfo> describe_settings(const Settings& settings);

/// Sets one by name. Throws Error that names the key, the value and what is allowed.
void set_setting(Settings& settings, const std::string& name, const std::string& value);
/// The same from "part.key=value".
void set_setting(Settings& settings, const std::string& assignment);

/// All settings as {"part.key": "value"}: part of the fingerprint and of the provenance.
Json settings_json(const Settings& settings);

/// Checks that groups of columns with a scale of their own have a width: what a budget needs to
/// know.
void check_scale_groups(const Settings& settings);

/// Checks that settings go together (a code of more than 64 bits, outliers without permutation,
/// ...).
void check_settings(const Settings& settings);

}  // namespace vq
