// SPDX-License-Identifier: Apache-2.0
#include "vq/run/presets.h"

#include "base/error.h"

namespace vq {

namespace {

using ColumnScale = TransformSettings::ColumnScale;
using Hadamard = TransformSettings::Hadamard;
using Scope = ScaleLayout::Scope;

/// The trellis along outputs of a doubly rotated layer: `best` and `qtip`.
void use_trellis(Settings& s) {
    s.transform.hadamard = Hadamard::both;
    s.code.kind = "trellis";
    s.code.along = Along::outputs;
}

/// A grid for single weights whose scales are searched, without feedback.
void use_searched_grid(Settings& s, Grid grid) {
    s.code.dim = 1;
    s.code.grid = grid;
    s.scale_search = 32;
    s.order = FeedbackOrder::none;
}

/// Embeddings of so many bits have scalar grids: a trellis ends at 4.
constexpr double least_grid_bits = 4.5;

/// Sums of binaries with codebooks of the tensor's own: `pb-llm` and `db-llm`.
void use_binaries(Settings& s) {
    s.code.dim = 1;
    s.code.most_stage_bits = 1;
    s.code.scope = CodebookScope::tensor;
    s.order = FeedbackOrder::forward;
    s.refine.rounds = 4;
}

}  // namespace

const std::vector<PresetInfo>& presets() {
    static const std::vector<PresetInfo> all = {
        {"best", "QTIP 2406.11235, QuIP# 2402.04396",
         "Hadamard on both sides, bitshift trellis along output rows, feedback column by column, "
         "bits by column, targets corrected for earlier layers; the default",
         2.3,
         [](Settings& s) {
             use_trellis(s);
             s.scale.scope = Scope::row;
             s.correction = 0.35;
         }},
        {"qtip", "QTIP 2406.11235",
         "Hadamard on both sides, bitshift trellis of a whole number of bits, feedback, no sweeps",
         2.3,
         [](Settings& s) {
             use_trellis(s);
             s.code.waterfill = false;
         }},
        {"quip-sharp", "QuIP# 2402.04396",
         "Hadamard on both sides, the E8P lattice codebook, LDLQ, coordinate-descent sweeps", 2.3,
         [](Settings& s) {
             s.transform.hadamard = Hadamard::both;
             s.code.kind = "e8p";
             s.scale.scope = Scope::row;
             s.refine.rounds = 10;
         }},
        {"rvq", "QuIP# 2402.04396, AQLM 2401.06118",
         "Hadamard on both sides, residual VQ of 8 weights with universal codebooks, LDLQ, refits",
         2.3,
         [](Settings& s) {
             s.transform.hadamard = Hadamard::both;
             s.scale.scope = Scope::row;
             s.refine.rounds = 4;
         }},
        {"aqlm", "AQLM 2401.06118",
         "additive codes of 8 input weights, codebooks of 2^8, beam search and revisions under the "
         "local metric, codebooks and codes refitted under the full Hessian",
         2.3,
         [](Settings& s) {
             s.code.most_stage_bits = 8;
             s.code.scope = CodebookScope::automatic;
             s.scale.scope = Scope::row;
             s.code.revisions = 2;
             s.code.kmeans.joint_rounds = 12;
             s.refine.rounds = 6;
         }},
        {"higgs", "HIGGS 2411.17525",
         "no calibration data: Hadamard on inputs, Gaussian-optimal grid of 8 weights, nearest",
         2.3,
         [](Settings& s) {
             s.transform.hadamard = Hadamard::in;
             s.objective = Objective::identity;
             s.scale.scope = Scope::row;
             s.order = FeedbackOrder::none;
         }},
        {"vptq", "VPTQ 2409.17066",
         "k-means VQ along output rows, columns by diag(H), outlier columns, forward feedback", 2.3,
         [](Settings& s) {
             s.transform.column_scale = ColumnScale::weight;
             s.transform.permute = true;
             s.code.along = Along::outputs;
             s.code.dim = 6;
             s.code.most_stage_bits = 13;
             s.code.scope = CodebookScope::automatic;
             s.code.outliers = 0.01;
             s.order = FeedbackOrder::forward;
             s.passes = 2;
             s.refine.rounds = 2;
         }},
        {"gptvq", "GPTVQ 2402.15319",
         "k-means VQ of 4 input columns inside GPTQ, H-weighted training", 2.3,
         [](Settings& s) {
             s.code.dim = 4;
             s.code.most_stage_bits = 13;
             s.code.scope = CodebookScope::automatic;
             s.scale.scope = Scope::row;
             s.order = FeedbackOrder::forward;
             s.refine.rounds = 2;
         }},
        {"gptq", "GPTQ 2210.17323",
         "scalar Lloyd-Max grid with a searched scale a row, columns by diag(H), forward feedback "
         "column by column",
         4.1,
         [](Settings& s) {
             s.code.dim = 1;
             s.transform.permute = true;
             s.scale.scope = Scope::row;
             s.scale_search = 32;
             s.order = FeedbackOrder::forward;
         }},
        {"awq", "AWQ 2306.00978",
         "uniform grid in groups of 128 with searched clipping, column scales from the inputs, no "
         "feedback",
         4.3,
         [](Settings& s) {
             use_searched_grid(s, Grid::uniform);
             s.scale = {Scope::group, 128};
             s.transform.column_scale = ColumnScale::activation;
             s.transform.power_search = 11;
         }},
        {"finequant", "FineQuant 2308.09723",
         "no calibration data: uniform grid in groups of 64 with searched clipping", 4.3,
         [](Settings& s) {
             use_searched_grid(s, Grid::uniform);
             s.scale = {Scope::group, 64};
             s.objective = Objective::identity;
         }},
        {"llm-fp4", "LLM-FP4 2310.16836",
         "floating-point grid (E2M1 at 4 bits) with a searched scale a row, no feedback", 4.1,
         [](Settings& s) {
             use_searched_grid(s, Grid::floating);
             s.scale.scope = Scope::row;
         }},
        {"cvxq-grid", "CVXQ 2409.02026, Radio 2505.03031",
         "scalar Lloyd-Max grids of 1 to 8 bits by column: reverse water-filling over column "
         "variance times diag(H), no feedback",
         3.1,
         [](Settings& s) {
             use_searched_grid(s, Grid::gaussian);
             s.code.kind = "grid";
             s.transform.column_scale = ColumnScale::weight;
             s.transform.permute = true;
             s.scale.scope = Scope::row;
         }},
        {"bitmod", "BitMoD 2411.11745",
         "floating-point grid of 3 or 4 bits in groups of 64, each with one special value out of "
         "four and a searched scale",
         4.3,
         [](Settings& s) {
             s.code.kind = "bitmod";
             s.code.dim = 64;
             s.scale = {Scope::group, 64};
             s.scale_search = 32;
         }},
        {"pb-llm", "PB-LLM 2310.00034",
         "one bit a weight, and 8 bits in as many columns of large diag(H) as the budget allows",
         2.3,
         [](Settings& s) {
             use_binaries(s);
             s.transform.permute = true;
             s.code.fill_outliers = true;
             s.code.outliers = 0.1;
             s.code.outlier_dim = 1;
             s.code.outlier_bits = 8;
             s.scale.scope = Scope::row;
         }},
        {"squeezellm", "SqueezeLLM 2306.07629",
         "scalar grid by k-means weighted with diag(H), the .5% of the weights that cost most kept "
         "sparse in 16 bits, feedback column by column",
         3.3,
         [](Settings& s) {
             s.code.dim = 1;
             s.code.scope = CodebookScope::tensor;
             s.scale.scope = Scope::row;
             s.scale_search = 32;
             s.order = FeedbackOrder::forward;
             s.side.sparse = 0.005;
             s.side.rounds = 2;
         }},
        {"lq-lora", "LQ-LoRA 2311.12023",
         "NormalFloat grid in groups of 64 with feedback, and a low-rank term of 8-bit factors "
         "under the full Hessian, in turn; what the grid leaves of the budget sets the rank",
         3.5,
         [](Settings& s) {
             s.code.dim = 1;
             s.code.grid = Grid::normal_float;
             s.scale = {Scope::group, 64};
             s.scale_search = 32;
             s.order = FeedbackOrder::forward;
             s.side.rank = 1;
             s.side.fill_rank = true;
             s.side.rounds = 4;
         }},
        {"db-llm", "DB-LLM 2402.11960",
         "sums of binaries with scales in groups of 64, feedback and refits", 2.3,
         [](Settings& s) {
             use_binaries(s);
             s.scale = {Scope::group, 64};
         }},
    };
    return all;
}

const PresetInfo& find_preset(const std::string& name) {
    std::string names;
    for (const PresetInfo& p : presets()) {
        if (p.name == name) return p;
        names += (names.empty() ? "" : ", ") + p.name;
    }
    throw Error("unknown method", name, "use one of: " + names);
}

Settings preset_settings(const std::string& name) {
    Settings s;
    s.method = name;
    find_preset(name).edit(s);
    return s;
}

Settings embedding_settings(const Settings& linear, bool makes_logits) {
    Settings s;
    s.method = linear.method;
    s.embedding = linear.embedding;
    s.embedding_bits = linear.embedding_bits;
    s.bias = false;
    // What is only looked up costs what its rows are off by, every direction alike.
    if (linear.embedding_bits == 0 || !makes_logits) {
        s.objective = Objective::identity;
        s.order = FeedbackOrder::none;
    }
    if (linear.embedding_bits > 0) {
        s.transform.hadamard = Hadamard::in;
        s.scale.scope = Scope::row;
        if (linear.embedding_bits < least_grid_bits) {
            s.code.kind = "trellis";
            s.code.along = Along::outputs;
        } else {
            s.code.kind = "grid";
            s.code.dim = 1;
        }
        return s;
    }
    s.code.kind = "bytes";
    s.code.dim = 32;
    s.code.stage_bits = {8};
    return s;
}

}  // namespace vq
