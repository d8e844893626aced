// SPDX-License-Identifier: Apache-2.0
// All packed codes.
#pragma once

#include <span>

#include "base/packed/packed_code.h"

namespace vq::decode {

std::span<const PackedCode* const> packed_codes();

/// Null: there is no such code.
const PackedCode* find_code(CodeKind kind);

/// The kernels of a segment's code that go with `shared`.
static inline const CodeKernels& code_kernels(const Segment& s, const Kernels& shared) {
    return *s.code->kernels[static_cast<int>(shared.set)];
}

}  // namespace vq::decode
