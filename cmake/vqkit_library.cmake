# vqkit_library(NAME DEPS ... SOURCES ...): one static library per part of the tree. Headers are
# included from the repository root ("io/gguf.h"), and from <prefix>/include/vqkit once installed.
# A source named *_avx2.cpp, *_avx512.cpp or *_avx512vnni.cpp (VBMI and VNNI too) is compiled for that
# instruction set; all others for the x86-64 baseline, so that one binary runs everywhere and picks its
# kernels at run time. (GCC 12 believes that its own AVX-512 headers use a value before it is set.)
set(VQKIT_LIBRARIES "" CACHE INTERNAL "")
function(vqkit_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;SOURCES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/vqkit>)
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wno-unknown-pragmas)
  foreach(source IN LISTS ARG_SOURCES)
    if(source MATCHES "_avx2\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    elseif(source MATCHES "_avx512\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mprefer-vector-width=512")
    elseif(source MATCHES "_avx512vnni\\.cpp$")
      set(options -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi
                  -mavx512vnni -mprefer-vector-width=512 -Wno-uninitialized
                  -Wno-maybe-uninitialized)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
  endforeach()
  set(VQKIT_LIBRARIES "${VQKIT_LIBRARIES};${name}" CACHE INTERNAL "")
endfunction()
