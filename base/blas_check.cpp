// SPDX-License-Identifier: Apache-2.0
#include "base/blas_check.h"

#include <dlfcn.h>

namespace vq {

BlasReport describe_blas(const std::string& library, const std::string& config) {
    BlasReport report{library, config, ""};
    if (!config.empty()) return report;
    for (const char* fast : {"openblas", "blis", "mkl", "atlas"})
        if (library.find(fast) != std::string::npos) return report;
    report.warning = "slow BLAS: " + (library.empty() ? std::string("none found") : library) +
                     ": install libopenblas-dev";
    return report;
}

BlasReport blas_report() {
    void* sgemm = dlsym(RTLD_DEFAULT, "sgemm_");
    Dl_info where{};
    if (sgemm == nullptr || dladdr(sgemm, &where) == 0 || where.dli_fname == nullptr)
        return describe_blas("", "");
    // OpenBLAS may be loaded beside another BLAS that came first: ask the library of sgemm_ itself.
    std::string config;
    if (void* handle = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD)) {
        if (void* get_config = dlsym(handle, "openblas_get_config")) {
            const char* text = reinterpret_cast<char* (*)()>(get_config)();
            if (text != nullptr) config = text;
        }
        dlclose(handle);
    }
    return describe_blas(where.dli_fname, config);
}

}  // namespace vq
