# Writes the git revision at build time; the file changes, and so one object is compiled again,
# only when the revision does.
set(lc_generated "${PROJECT_BINARY_DIR}/generated")
add_custom_target(lc_build_info_values
  COMMAND ${CMAKE_COMMAND}
          -DSOURCE=${PROJECT_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
          -DTORCH_VERSION=${LC_TORCH_VERSION} -DCUDA_VERSION=${CMAKE_CUDA_COMPILER_VERSION}
          -DBUILD_TYPE=${CMAKE_BUILD_TYPE} -DTEMPLATE=${PROJECT_SOURCE_DIR}/cmake/build_info.h.in
          -DOUTPUT=${lc_generated}/build_info_values.h
          -P ${PROJECT_SOURCE_DIR}/cmake/write_build_info.cmake
  BYPRODUCTS "${lc_generated}/build_info_values.h"
  COMMENT "" VERBATIM)
add_library(lc_build_info INTERFACE)
add_dependencies(lc_build_info lc_build_info_values)
target_include_directories(lc_build_info INTERFACE "${lc_generated}")
