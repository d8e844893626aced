// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/code_families.h"

#include "base/error.h"
#include "codebooks/bitmod/bitmod_family.h"
#include "codebooks/bytes/byte_family.h"
#include "codebooks/iq4nl/iq4nl_family.h"
#include "codebooks/residual/residual_family.h"
#include "codebooks/scalar/scalar_family.h"
#include "lattice/e8p/e8p_family.h"
#include "lattice/trellis/trellis_family.h"

namespace vq {

std::span<const CodeFamily* const> code_families() {
    // Scalar grids before residual codes, whose packing takes every codebook.
    static constexpr const CodeFamily* all[] = {
        &scalar_family, &residual_family, &e8p_family,   &trellis_family,
        &bitmod_family, &byte_family,     &iq4nl_family,
    };
    return all;
}

const CodeFamily& family_of(const CodeSettings& settings) {
    std::string names;
    for (const CodeFamily* family : code_families()) {
        if (settings.kind == family->name) return *family;
        names += (names.empty() ? "" : ", ") + std::string(family->name);
    }
    throw Error("unknown family of codes", "code.kind=" + settings.kind, "use one of: " + names);
}

const CodeFamily* find_stored_family(const std::string& name) {
    for (const CodeFamily* family : code_families())
        if (family->parse != nullptr && name == family->name) return family;
    return nullptr;
}

}  // namespace vq
