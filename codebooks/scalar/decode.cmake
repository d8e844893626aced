# SPDX-License-Identifier: Apache-2.0
# What the decode library is built from here (the standard library is all it needs).
vqkit_decode_sources(grid.cpp grid_kernel_avx2.cpp grid_kernel_avx512vnni.cpp)
