// What each family of codes asks of the other settings: a part of check_settings().
#pragma once

#include "vq/run/settings.h"

namespace vq {

/// Throws Error where a setting does not go with the family of code.kind.
void check_code_family(const Settings& settings);

}  // namespace vq
