// SPDX-License-Identifier: Apache-2.0
// Which BLAS this process runs on. FAISS and LAPACK call whatever `sgemm_` the loader found; with
// the reference BLAS they are many times slower, and nothing else would say so.
#pragma once

#include <string>

namespace vq {

struct BlasReport {
    std::string library;  ///< file that `sgemm_` was loaded from; empty when there is none
    std::string config;   ///< what OpenBLAS says about its build and this processor; else empty
    std::string warning;  ///< one line for the user; empty when the BLAS is a fast one
};

/// The BLAS that `sgemm_` resolves to in this process.
BlasReport blas_report();

/// The report for a library and its OpenBLAS configuration (empty: it is not OpenBLAS).
/// Also takes BLIS, MKL and ATLAS, known by their file name, for fast.
BlasReport describe_blas(const std::string& library, const std::string& config);

}  // namespace vq
