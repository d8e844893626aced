# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(byte_code.cpp byte_family.cpp byte_pack.cpp)
