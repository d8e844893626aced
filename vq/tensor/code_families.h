// SPDX-License-Identifier: Apache-2.0
// The one list of all families of codes.
#pragma once

#include <span>
#include <string>

#include "base/codes/family.h"

namespace vq {

std::span<const CodeFamily* const> code_families();

/// The family of code.kind. Throws Error on an unknown name.
const CodeFamily& family_of(const CodeSettings& settings);

/// The family whose codes are stored under this name ("code" of a stored tensor), or null.
const CodeFamily* find_stored_family(const std::string& name);

}  // namespace vq
