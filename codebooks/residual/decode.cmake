# SPDX-License-Identifier: Apache-2.0
# What the decode library is built from here (the standard library is all it needs).
vqkit_decode_sources(stages.cpp lut.cpp lut_kernel_avx2.cpp lut_kernel_avx512vnni.cpp table.cpp table_kernel_avx2.cpp
     table_kernel_avx512vnni.cpp)
