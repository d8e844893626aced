# `cmake --install`: the libraries, their headers under include/vqkit/<folder>/, and a package that an
# outside project finds with find_package(vqkit) and links as vqkit::vqkit.
include(CMakePackageConfigHelpers)

set(vqkit_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vqkit)
install(TARGETS ${VQKIT_LIBRARIES} vqkit vqkit_decode_shared EXPORT vqkitTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(folder base decode io codebooks lattice vq model)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vqkit
          FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
endforeach()
install(EXPORT vqkitTargets NAMESPACE vqkit:: DESTINATION ${vqkit_package_dir})

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/vqkitConfig.cmake.in
  ${PROJECT_BINARY_DIR}/vqkitConfig.cmake
  INSTALL_DESTINATION ${vqkit_package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vqkitConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vqkitConfig.cmake
              ${PROJECT_BINARY_DIR}/vqkitConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/dependencies.cmake
        DESTINATION ${vqkit_package_dir})
