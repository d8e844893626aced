# SPDX-License-Identifier: Apache-2.0
# What the decode library is built from here (the standard library is all it needs).
vqkit_decode_sources(e8p.cpp e8p_patterns.cpp e8p_kernel_avx2.cpp e8p_kernel_avx512vnni.cpp)
