# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts in place of the decode library: static and shared, the C and C++ headers
# under include/vqkit/decode/, a pkg-config file, and the CMake package, whose component `decode` needs
# nothing else.
include(CMakePackageConfigHelpers)

set(vqkit_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vqkit)
install(TARGETS vqkit_core vqkit_decode EXPORT vqkitDecodeTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT decode_dev)
install(TARGETS vqkit_decode_shared EXPORT vqkitDecodeTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT decode NAMELINK_COMPONENT decode_dev)
install(FILES ${PROJECT_SOURCE_DIR}/decode/vqkit_decode.h ${PROJECT_SOURCE_DIR}/decode/vqkit_decode.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vqkit/decode COMPONENT decode_dev)
install(EXPORT vqkitDecodeTargets NAMESPACE vqkit:: DESTINATION ${vqkit_package_dir} COMPONENT decode_dev)

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/vqkitConfig.cmake.in
  ${PROJECT_BINARY_DIR}/vqkitConfig.cmake
  INSTALL_DESTINATION ${vqkit_package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vqkitConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vqkitConfig.cmake
              ${PROJECT_BINARY_DIR}/vqkitConfigVersion.cmake
        DESTINATION ${vqkit_package_dir} COMPONENT decode_dev)

# Relative to where it lies, so that an installed tree can be moved.
file(RELATIVE_PATH vqkit_pc_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/vqkit-decode.pc.in ${PROJECT_BINARY_DIR}/vqkit-decode.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vqkit-decode.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT decode_dev)
