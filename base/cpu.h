// SPDX-License-Identifier: Apache-2.0
// The instruction set that kernels run on: the best one of the machine, or a lower one that the
// user asked for through VQ_ISA=scalar|avx2|avx512|amx (to compare kernels, or to get around a
// broken one).
#pragma once

#include <string>

namespace vq {

enum class Isa { scalar, avx2, avx512, amx };

/// "scalar", "avx2", "avx512", "amx".
const char* isa_name(Isa isa);

/// The best instruction set of this processor (avx2 needs FMA and F16C; avx512 needs F, BW, DQ,
/// VL; amx means tiles of int8 beside has_avx512_vnni(), and that the system lets the process use
/// them, which the first call asks for).
Isa detect_isa();

/// On top of Isa::avx512: byte permutes (VBMI) and int8 dot products (VNNI), which the decode
/// kernels are made of.
bool has_avx512_vnni();

/// detect_isa(), lowered to VQ_ISA if that is set. Throws Error when VQ_ISA names an unknown
/// instruction set or one that this processor lacks. Read once a call, never cached.
Isa active_isa();

}  // namespace vq
