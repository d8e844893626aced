# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts in place of the toolkit, besides the decode library and the program: its
# libraries, the headers of all rooms under include/vqkit/<folder>/, and the rest of the CMake package,
# so that an outside project finds it with find_package(vqkit) and links vqkit::vqkit.
set(toolkit_libraries ${VQKIT_LIBRARIES})
list(REMOVE_ITEM toolkit_libraries vqkit_core vqkit_decode)
install(TARGETS ${toolkit_libraries} vqkit EXPORT vqkitTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT toolkit_dev)
foreach(folder base decode io codebooks lattice vq model)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vqkit COMPONENT toolkit_dev
          FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
endforeach()
install(EXPORT vqkitTargets NAMESPACE vqkit:: DESTINATION ${vqkit_package_dir} COMPONENT toolkit_dev)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/dependencies.cmake
        DESTINATION ${vqkit_package_dir} COMPONENT toolkit_dev)
