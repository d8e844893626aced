# SPDX-License-Identifier: Apache-2.0
# Installs the build into a fresh prefix, builds consumer/ against it, runs what came out.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${VQKIT_BUILD} --prefix ${WORK}/prefix --config ${CONFIG})
foreach(room base decode io codebooks lattice vq model)
  file(GLOB_RECURSE headers ${WORK}/prefix/include/vqkit/${room}/*.h)
  if(NOT headers)
    message(FATAL_ERROR "no header of ${room}/ is installed")
  endif()
endforeach()
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${WORK}/build -G ${GENERATOR}
    -D CMAKE_PREFIX_PATH=${WORK}/prefix
    -D CMAKE_C_COMPILER=${CC} -D CMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}"
    -D CMAKE_BUILD_TYPE=${CONFIG} -D WANTED_VERSION=${VQKIT_VERSION})
run(${CMAKE_COMMAND} --build ${WORK}/build --config ${CONFIG})
run(${WORK}/build/consumer ${MODEL})
if(NOT out MATCHES "^llama 4 layers, [1-9][0-9]* tokens, text unchanged\n$")
  message(FATAL_ERROR "the outside program printed: ${out}")
endif()
run(${WORK}/prefix/bin/vq --version)
if(NOT out STREQUAL "vq ${VQKIT_VERSION}\n")
  message(FATAL_ERROR "the installed vq printed: ${out}")
endif()
file(REMOVE_RECURSE ${WORK})
