// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"

namespace vq {

const char* isa_name(Isa isa) {
    switch (isa) {
        case Isa::amx: return "amx";
        case Isa::avx512: return "avx512";
        case Isa::avx2: return "avx2";
        default: return "scalar";
    }
}

namespace {

/// Not among the names that clang's __builtin_cpu_supports() knows.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool has_vbmi_and_vnni() {
    return __builtin_cpu_supports("avx512vbmi") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
}

/// Linux keeps the state of tiles (8 KB a thread) only for processes that ask for it.
bool may_use_tiles() {
    constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long tile_data = 18;
    static const bool granted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    return granted;
}

bool has_amx_int8() {
    constexpr unsigned tiles = 1u << 24, of_int8 = 1u << 25;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & tiles) != 0 && (d & of_int8) != 0 &&
           may_use_tiles();
}

}  // namespace

Isa detect_isa() {
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && has_f16c();
    const bool avx512 =
        avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
        __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
    // Kernels with tiles use these two beside them.
    if (avx512) return has_vbmi_and_vnni() && has_amx_int8() ? Isa::amx : Isa::avx512;
    return avx2 ? Isa::avx2 : Isa::scalar;
}

bool has_avx512_vnni() {
    return detect_isa() >= Isa::avx512 && has_vbmi_and_vnni();
}

Isa active_isa() {
    const Isa best = detect_isa();
    const char* wanted = std::getenv("VQ_ISA");  // NOLINT(concurrency-mt-unsafe)
    if (wanted == nullptr || *wanted == '\0') return best;
    for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::amx}) {
        if (std::string(isa_name(isa)) != wanted) continue;
        if (isa > best)
            throw Error("this processor lacks the instruction set", "VQ_ISA=" + std::string(wanted),
                        std::string("use ") + isa_name(best) + " or lower, or unset VQ_ISA");
        return isa;
    }
    throw Error("unknown instruction set", "VQ_ISA=" + std::string(wanted),
                "use scalar, avx2, avx512 or amx, or unset VQ_ISA");
}

}  // namespace vq
