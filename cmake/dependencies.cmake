# SPDX-License-Identifier: Apache-2.0
# Every outside library of the toolkit, found once (Debian 12 packages; scripts/build.sh installs them).
# Also read by the installed package config, so it uses only find_* and imported targets.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt REQUIRED)

# Libraries without a CMake package: an imported target each.
function(vqkit_import name header library)
  if(TARGET vqkit_dep::${name})
    return()
  endif()
  find_path(VQKIT_${name}_INCLUDE ${header} PATH_SUFFIXES ${ARGN})
  find_library(VQKIT_${name}_LIBRARY ${library} PATH_SUFFIXES ${ARGN})
  if(NOT VQKIT_${name}_INCLUDE OR NOT VQKIT_${name}_LIBRARY)
    message(FATAL_ERROR "vqkit needs ${name} (${header}, lib${library}): run scripts/build.sh, "
                        "or install its Debian package")
  endif()
  add_library(vqkit_dep::${name} UNKNOWN IMPORTED)
  set_target_properties(vqkit_dep::${name} PROPERTIES
    IMPORTED_LOCATION "${VQKIT_${name}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${VQKIT_${name}_INCLUDE}")
endfunction()
vqkit_import(faiss faiss/Index.h faiss)
vqkit_import(openblas cblas.h openblas)
vqkit_import(lapacke lapacke.h lapacke)
vqkit_import(hdf5 hdf5.h hdf5_serial hdf5/serial)
vqkit_import(pcre2 pcre2.h pcre2-8)
vqkit_import(sentencepiece sentencepiece_processor.h sentencepiece)
vqkit_import(utf8proc utf8proc.h utf8proc)
vqkit_import(xxhash xxhash.h xxhash)
vqkit_import(yamlcpp yaml-cpp/yaml.h yaml-cpp)
# oneDNN has a CMake package, but Debian's asks for OpenCL headers that nothing here needs.
vqkit_import(dnnl dnnl.hpp dnnl)
if(NOT TARGET DNNL::dnnl)
  add_library(DNNL::dnnl ALIAS vqkit_dep::dnnl)
endif()
