// SPDX-License-Identifier: Apache-2.0
#include "decode/codes.h"

#include "codebooks/bytes/bytes.h"
#include "codebooks/iq4nl/iq4nl.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table.h"
#include "codebooks/scalar/grid.h"
#include "lattice/e8p/e8p.h"
#include "lattice/trellis/trellis.h"

namespace vq::decode {

std::span<const PackedCode* const> packed_codes() {
    static constexpr const PackedCode* all[] = {
        &lut_code, &table_code, &trellis_code, &e8p_code, &grid_code, &bytes_code, &iq4nl_code,
    };
    return all;
}

const PackedCode* find_code(CodeKind kind) {
    for (const PackedCode* code : packed_codes())
        if (code->kind == kind) return code;
    return nullptr;
}

}  // namespace vq::decode
