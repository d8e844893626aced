# SPDX-License-Identifier: Apache-2.0
# The compress side: code, encoder, family, packing.
vqkit_code_sources(iq4nl_code.cpp iq4nl_family.cpp iq4nl_pack.cpp)
