# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(additive_search.cpp residual_code.cpp residual_family.cpp residual_pack.cpp scalar_grid.cpp
                   universal.cpp)
