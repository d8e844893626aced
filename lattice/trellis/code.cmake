# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(trellis_code.cpp trellis_family.cpp trellis_function.cpp trellis_pack.cpp viterbi.cpp
                   viterbi_kernel_avx2.cpp viterbi_kernel_avx512.cpp viterbi_kernel_scalar.cpp)
