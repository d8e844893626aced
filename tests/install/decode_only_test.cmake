# SPDX-License-Identifier: Apache-2.0
# The decode library where nothing else is to be had: configures VQKIT_DECODE_ONLY with every other package
# hidden and the headers of every other library replaced by errors, builds it, runs its tests, installs it,
# and lets an outside program find it as a CMake component and through pkg-config.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
file(REMOVE_RECURSE ${WORK})

set(hidden)
foreach(package OpenMP Threads Eigen3 nlohmann_json fmt CLI11 GTest benchmark BLAS LAPACK HDF5 PkgConfig)
  list(APPEND hidden -D CMAKE_DISABLE_FIND_PACKAGE_${package}=ON)
endforeach()
# Libraries, headers and packages are looked for in the prefix alone, where nothing but vqkit will lie.
list(APPEND hidden -D CMAKE_FIND_ROOT_PATH=${WORK}/prefix)
foreach(kind LIBRARY INCLUDE PACKAGE)
  list(APPEND hidden -D CMAKE_FIND_ROOT_PATH_MODE_${kind}=ONLY)
endforeach()
foreach(header fmt/format.h nlohmann/json.hpp Eigen/Core Eigen/Dense omp.h hdf5.h cblas.h lapacke.h dnnl.hpp
        faiss/Index.h xxhash.h pcre2.h utf8proc.h sentencepiece_processor.h CLI/CLI.hpp gtest/gtest.h)
  file(WRITE ${WORK}/hidden/${header} "#error the decode library may not include this\n")
endforeach()
set(compilers -G ${GENERATOR} -D CMAKE_C_COMPILER=${CC} -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_BUILD_TYPE=${CONFIG}
    -D CMAKE_C_COMPILER_LAUNCHER=${LAUNCHER} -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
    "-DCMAKE_C_FLAGS=${C_FLAGS}")

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build ${compilers} ${hidden} -D VQKIT_DECODE_ONLY=ON
    -D CMAKE_MAKE_PROGRAM=${MAKE_PROGRAM} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS} -I${WORK}/hidden")
run(${CMAKE_COMMAND} --build ${WORK}/build --parallel 2 --config ${CONFIG})
run(${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/build --no-tests=error --output-on-failure -C ${CONFIG})
run(${CMAKE_COMMAND} --install ${WORK}/build --prefix ${WORK}/prefix --config ${CONFIG})

# The component decode is there, and the toolkit is said to be missing.
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${WORK}/outside ${compilers} ${hidden}
    -D CMAKE_MAKE_PROGRAM=${MAKE_PROGRAM} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}"
    -D CMAKE_PREFIX_PATH=${WORK}/prefix -D EXAMPLE=${SOURCE}/examples/embed.c -D WANTED_VERSION=${VQKIT_VERSION})
run(${CMAKE_COMMAND} --build ${WORK}/outside --config ${CONFIG})
foreach(program embed_static embed_shared)
  run(${WORK}/outside/${program} ${SOURCE}/tests/decode/every_code/every_code.vqp)
endforeach()
file(REMOVE_RECURSE ${WORK})
