# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(bitmod_code.cpp bitmod_family.cpp bitmod_pack.cpp)
