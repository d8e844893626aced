// The fixed grids that a preset with rates by column works with.
#pragma once

#include "vq/layer/quantize_layer.h"
#include "vq/tensor/code_spec.h"

namespace vq::test {

inline SharedCodes shared_grids(const Settings& s) {
    SharedCodes shared;
    for (const auto& [name, code] : universal_choices(s)) shared.push_back({name, code});
    return shared;
}

}  // namespace vq::test
