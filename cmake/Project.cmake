# Flags that every target shares, as INTERFACE targets; no global flags besides the build types.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

# Tools run from the build tree and also find libraries carried beside them.
set(CMAKE_BUILD_RPATH "$ORIGIN/lib")
set(CMAKE_INSTALL_RPATH "$ORIGIN/lib")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(LC_CCACHE ccache)
if(LC_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # ccache caches objects that use a precompiled header only with this sloppiness.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${LC_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${LC_CCACHE})
endif()

# Warnings, PRIVATE to our own code.
add_library(lc_warnings INTERFACE)
set(lc_warning_flags -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual
                     -Wimplicit-fallthrough)
if(LC_WERROR)
  list(APPEND lc_warning_flags -Werror)
endif()
target_compile_options(lc_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${lc_warning_flags}>")

# What must be the same in every file: a precompiled header is refused when flags differ.
add_library(lc_flags INTERFACE)
target_compile_features(lc_flags INTERFACE cxx_std_20)
target_include_directories(lc_flags INTERFACE "${PROJECT_SOURCE_DIR}/src")
if(LC_SANITIZE)
  # torch is not instrumented: vptr checks cannot see its type information.
  target_compile_options(lc_flags INTERFACE
    -fsanitize=${LC_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  target_link_options(lc_flags INTERFACE -fsanitize=${LC_SANITIZE} -fno-sanitize=vptr)
endif()
if(LC_FUZZER)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "LoCoCo: LC_FUZZER needs clang: -DCMAKE_CXX_COMPILER=clang++. Other compilers "
                        "get the built in driver, tests/support/fuzz_main.cpp.")
  endif()
  target_compile_options(lc_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
