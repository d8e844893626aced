// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/stages.h"

#include "base/packed/packed_code.h"

namespace vq::decode {

void read_stages(const SegmentRecord& r, const SegmentPlace& place, StagedSegment& s) {
    if (r.dim < 1 || r.dim > most_dim || r.stages < 1 || r.stages > most_stages)
        fail_damaged("a code is out of range", place.where);
    s.dim = static_cast<int>(r.dim);
    s.stages = static_cast<int>(r.stages);
    for (int m = 0; m < s.stages; ++m) {
        s.codebook[m] = place.books.values(r.codebook[m], r.stage_bits[m], r.dim, place.where);
        s.stage_bits[m] = static_cast<int>(r.stage_bits[m]);
        s.bits += s.stage_bits[m];
    }
}

}  // namespace vq::decode
