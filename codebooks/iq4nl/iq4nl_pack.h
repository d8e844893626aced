// SPDX-License-Identifier: Apache-2.0
// IQ4_NL codes in the layout of their kernels (iq4nl.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Throws Error where the tensor has scales a group of columns beside those of the code.
std::optional<PackedSegments> pack_iq4nl(const CodedView& tensor);

}  // namespace vq
