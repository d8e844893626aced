#include "base/cpu.h"

#include <cpuid.h>

#include <cstdlib>

#include "base/error.h"

namespace vq {

const char* isa_name(Isa isa) {
    switch (isa) {
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

}  // namespace

Isa detect_isa() {
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && has_f16c();
    const bool avx512 =
        avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
        __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
    return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::scalar;
}

bool has_avx512_vnni() {
    return detect_isa() == Isa::avx512 && __builtin_cpu_supports("avx512vbmi") != 0 &&
           __builtin_cpu_supports("avx512vnni") != 0;
}

Isa active_isa() {
    const Isa best = detect_isa();
    const char* wanted = std::getenv("VQ_ISA");  // NOLINT(concurrency-mt-unsafe)
    if (wanted == nullptr || *wanted == '\0') return best;
    for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
        if (std::string(isa_name(isa)) != wanted) continue;
        if (isa > best)
            throw Error("this processor lacks the instruction set", "VQ_ISA=" + std::string(wanted),
                        std::string("use ") + isa_name(best) + " or lower, or unset VQ_ISA");
        return isa;
    }
    throw Error("unknown instruction set", "VQ_ISA=" + std::string(wanted),
                "use scalar, avx2 or avx512, or unset VQ_ISA");
}

}  // namespace vq
