# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(e8p_code.cpp e8p_family.cpp e8p_pack.cpp e8p_table.cpp)
