# SPDX-License-Identifier: Apache-2.0
# Warnings of our sources. Conversions that may change a value or its sign are written out, but for tests (TEST), which
# are full of small numbers. Clang has other conversions in mind, and without optimization GCC's intrinsics are macros
# with conversions of their own.
function(vqkit_warnings target)
  cmake_parse_arguments(ARG "TEST" "" "" ${ARGN})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-unknown-pragmas)
  if(NOT ARG_TEST AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE "$<$<NOT:$<CONFIG:Debug>>:-Wconversion;-Wsign-conversion>")
  endif()
endfunction()

# vqkit_library(NAME DEPS ... SOURCES ...): one static library per part of the tree. Headers are
# included from the repository root ("io/gguf/gguf.h"), and from <prefix>/include/vqkit once installed.
set(VQKIT_LIBRARIES "" CACHE INTERNAL "")
function(vqkit_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;SOURCES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/vqkit>)
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  target_compile_features(${name} PUBLIC cxx_std_20)
  vqkit_warnings(${name})
  vqkit_instruction_sets(${ARG_SOURCES})
  set(VQKIT_LIBRARIES "${VQKIT_LIBRARIES};${name}" CACHE INTERNAL "")
endfunction()

# A source named *_avx2.cpp, *_avx512.cpp, *_avx512vnni.cpp (VBMI and VNNI too) or *_amx.cpp (tiles of
# int8 too) is compiled for that instruction set; all others for the x86-64 baseline, so that one
# binary runs everywhere and picks its kernels at run time. (GCC 12 believes that its own AVX-512
# headers use a value before it is set.)
function(vqkit_instruction_sets)
  set(avx2 -mavx2 -mfma -mf16c)
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  set(avx512vnni ${avx512} -mavx512vbmi -mavx512vnni -Wno-uninitialized -Wno-maybe-uninitialized)
  set(amx ${avx512vnni} -mamx-tile -mamx-int8)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_(avx2|avx512|avx512vnni|amx)\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${${CMAKE_MATCH_1}}")
    endif()
  endforeach()
endfunction()

# The sources that the folders of codes below this one name in their code.cmake:
#   vqkit_code_sources(x_code.cpp ...)
macro(vqkit_code_sources)
  foreach(source ${ARGN})
    list(APPEND collected ${CMAKE_CURRENT_LIST_DIR}/${source})
  endforeach()
endmacro()
function(vqkit_collect_code_sources result)
  set(collected "")
  file(GLOB lists CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*/code.cmake)
  foreach(list IN LISTS lists)
    include(${list})
  endforeach()
  set(${result} ${collected} PARENT_SCOPE)
endfunction()
