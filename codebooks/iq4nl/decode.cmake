# SPDX-License-Identifier: Apache-2.0
# What the decode library is built from here (the standard library is all it needs).
vqkit_decode_sources(iq4nl.cpp iq4nl_kernel_avx2.cpp iq4nl_kernel_avx512vnni.cpp)
