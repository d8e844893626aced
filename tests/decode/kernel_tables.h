// SPDX-License-Identifier: Apache-2.0
// The kernel tables that run on this processor, the scalar reference first.
#pragma once

#include <vector>

#include "base/cpu.h"
#include "base/packed/kernels.h"

namespace vq::test {

inline std::vector<const decode::Kernels*> kernel_tables() {
    std::vector<const decode::Kernels*> all = {&decode::kernels_scalar};
    if (detect_isa() >= Isa::avx2) all.push_back(&decode::kernels_avx2);
    if (has_avx512_vnni()) all.push_back(&decode::kernels_avx512vnni);
    if (detect_isa() >= Isa::amx) all.push_back(&decode::kernels_amx());
    return all;
}

}  // namespace vq::test
