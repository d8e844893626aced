// SPDX-License-Identifier: Apache-2.0
// Presets: named rows of the table of parts (docs/methods.md). A row is all that there is to one.
#pragma once

#include <string>
#include <vector>

#include "vq/layer/settings.h"

namespace vq {

struct PresetInfo {
    std::string name;
    std::string paper;
    std::string summary;
    double bits;                ///< a weight, the budget unless another is asked for
    void (*edit)(Settings& s);  ///< what it changes of the default settings
};
const std::vector<PresetInfo>& presets();

/// Throws Error on an unknown name.
const PresetInfo& find_preset(const std::string& name);

/// The settings of a preset, with its code still to be sized. Throws Error on an unknown name.
Settings preset_settings(const std::string& name);

/// The settings that a coded table of the vocabulary has beside linear layers with these: bytes,
/// rounded as they stand; or with embedding.bits a code still to be sized to them, of which a row
/// decodes alone. `makes_logits`: the head, or an embedding that is the head too.
Settings embedding_settings(const Settings& linear, bool makes_logits);

}  // namespace vq
