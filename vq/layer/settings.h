// SPDX-License-Identifier: Apache-2.0
// Settings: every choice of a quantization run, grouped by the nine parts. A preset fills them,
// --bits sizes the code, --set part.key=value changes any one of them; describe_settings() is the
// help.
#pragma once

#include <string>
#include <vector>

#include "base/codes/code_settings.h"
#include "base/json.h"
#include "vq/layer/feedback.h"
#include "vq/layer/refine.h"
#include "vq/tensor/coded_tensor.h"
#include "vq/tensor/side_terms.h"
#include "vq/tensor/transform.h"

namespace vq {

/// What the error is weighed with.
enum class Objective { full, diagonal, identity };

/// How the embedding and the head are stored: 8-bit integers with a scale for 32 of them, or fp16.
enum class EmbeddingCode { bytes, dense };

struct Settings {
    std::string method;
    TransformSettings transform;
    Objective objective = Objective::full;
    double damping = 0.01;  ///< of the mean diagonal of H
    double correction =
        0;  ///< share of the prefix's drift that a layer makes good for, see drift.h
    CodeSettings code;
    SideSettings side;   ///< what is kept beside the codes
    bool metric = true;  ///< the encoder compares its candidates in the local metric
    FeedbackOrder order = FeedbackOrder::backward;
    Index block = 0;  ///< columns a feedback block; 0: as wide as the vectors
    int passes = 1;   ///< feedback passes; codebooks of the tensor are trained anew in between
    ScaleLayout scale;
    int scale_search = 0;  ///< scales tried for each row before feedback; 0: the root mean square
    RefineSettings refine;
    EmbeddingCode embedding = EmbeddingCode::bytes;
    /// Bits a weight of the embedding and the head by a searched code; 0: as `embedding` says.
    double embedding_bits = 0;
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
