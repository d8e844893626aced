# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(grid_pack.cpp scalar_family.cpp)
