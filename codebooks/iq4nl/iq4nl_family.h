// SPDX-License-Identifier: Apache-2.0
// The family of IQ4_NL codes (iq4nl_code.h).
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily iq4nl_family;

}  // namespace vq
