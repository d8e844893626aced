// SPDX-License-Identifier: Apache-2.0
// The family "bitmod": a floating-point grid with one special value a group (BitMoD).
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily bitmod_family;

}  // namespace vq
