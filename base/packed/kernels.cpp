// SPDX-License-Identifier: Apache-2.0
#include "base/packed/kernels.h"

#include "base/cpu.h"

namespace vq::decode {

const Kernels& active_kernels() {
    const Isa isa = active_isa();
    if (isa == Isa::amx) return kernels_amx();
    if (isa == Isa::avx512 && has_avx512_vnni()) return kernels_avx512vnni;
    return isa == Isa::scalar ? kernels_scalar : kernels_avx2;
}

}  // namespace vq::decode
