# How libraries, tests, tools and fuzz targets are declared.

# The torch headers, compiled once; every torch file reuses them (about 600 MB and 35 s).
add_library(lc_pch STATIC "${PROJECT_SOURCE_DIR}/cmake/pch.cpp")
target_link_libraries(lc_pch PUBLIC lc_flags lc::torch PRIVATE lc_warnings)
if(LC_PCH)
  target_precompile_headers(lc_pch PRIVATE "${PROJECT_SOURCE_DIR}/src/tensor/kit/torch.h")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # ccache asks for it; the same option must stand in every file that uses the header.
    target_compile_options(lc_pch PUBLIC "$<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess;-Winvalid-pch>")
  endif()
endif()

function(lococo_use_torch target)
  target_link_libraries(${target} PRIVATE lc_pch)
  if(LC_PCH)
    target_precompile_headers(${target} REUSE_FROM lc_pch)
  endif()
  # Several files in one translation unit pay once for the templates of the torch headers.
  set_target_properties(${target} PROPERTIES
    UNITY_BUILD ${LC_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# Code for CUDA, as a library of its own that sees no torch header.
function(lococo_cuda_library name)
  add_library(${name} STATIC ${ARGN})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_compile_definitions(${name} PRIVATE LOCOCO_WITH_CUDA=1)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(${name} PUBLIC lc::cuda)
endfunction()

# lococo_library(lc_NAME [TORCH] [SOURCES ...] [PLAIN_SOURCES ...] [CUDA_SOURCES ...]
#                [SM90A_SOURCES ...] [PUBLIC ...] [PRIVATE ...])
# One static library for a folder of src/. TORCH: its SOURCES see the torch headers; PLAIN_SOURCES
# do not, and compile faster for it. CUDA_SOURCES are compiled only with CUDA. SM90A_SOURCES need
# instructions that only compute capability 9.0 has: they are compiled for it alone, where it is
# among the architectures, and then SOURCES see LOCOCO_WITH_SM90A.
function(lococo_library name)
  cmake_parse_arguments(ARG "TORCH" ""
    "SOURCES;PLAIN_SOURCES;CUDA_SOURCES;SM90A_SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES} ${ARG_PLAIN_SOURCES})
  target_link_libraries(${name} PUBLIC lc_flags ${ARG_PUBLIC} PRIVATE lc_warnings ${ARG_PRIVATE})
  if(ARG_TORCH)
    target_link_libraries(${name} PUBLIC lc::torch)
    lococo_use_torch(${name})
    set_source_files_properties(${ARG_PLAIN_SOURCES} PROPERTIES
      SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
  if(LC_CUDA_FOUND AND ARG_CUDA_SOURCES)
    lococo_cuda_library(${name}_cuda ${ARG_CUDA_SOURCES})
    target_link_libraries(${name} PUBLIC ${name}_cuda)
  endif()
  if(LC_CUDA_FOUND AND ARG_SM90A_SOURCES AND CMAKE_CUDA_ARCHITECTURES MATCHES "(^|;)90")
    lococo_cuda_library(${name}_sm90a ${ARG_SM90A_SOURCES})
    set_target_properties(${name}_sm90a PROPERTIES CUDA_ARCHITECTURES 90a-real)
    target_compile_definitions(${name} PRIVATE LOCOCO_WITH_SM90A=1)
    target_link_libraries(${name} PUBLIC ${name}_sm90a)
  endif()
endfunction()

# lococo_tool(name source [NO_TORCH] [LIBS ...]): one small main in tools/, built into bin/.
# NO_TORCH: it needs only core and data, so it starts at once and runs without LibTorch.
# The target lococo-tools builds them all.
function(lococo_tool name source)
  cmake_parse_arguments(ARG "NO_TORCH" "" "LIBS" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE lc_cli lc_warnings)
  if(ARG_NO_TORCH)
    target_link_libraries(${name} PRIVATE lc_data ${ARG_LIBS})
  else()
    target_link_libraries(${name} PRIVATE lc_train lc_generate ${ARG_LIBS})
    lococo_use_torch(${name})
  endif()
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  if(NOT TARGET lococo-tools)
    add_custom_target(lococo-tools)
  endif()
  add_dependencies(lococo-tools ${name})
endfunction()

# lococo_test(name LABEL unit [TORCH] [RANKS 2] [NO_MAIN] SOURCES ... LIBS ...)
# One Catch2 executable and one CTest. Exit code 4 means that every test case was skipped.
# TORCH: reuse the precompiled torch headers. RANKS: run under mpirun. NO_MAIN: a source has main.
function(lococo_test name)
  cmake_parse_arguments(ARG "TORCH;NO_MAIN" "LABEL;RANKS;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE lc_catch ${ARG_LIBS} lc_warnings)
  if(NOT ARG_NO_MAIN)
    target_link_libraries(${name} PRIVATE lc_catch_main)
  endif()
  if(ARG_TORCH)
    lococo_use_torch(${name})
  endif()
  set_target_properties(${name} PROPERTIES
    LINKER_LANGUAGE CXX RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  set(command $<TARGET_FILE:${name}>)
  if(ARG_RANKS)
    if(NOT lc_mpi_found)
      return()
    endif()
    set(command "${MPIEXEC_EXECUTABLE}" -np ${ARG_RANKS} --oversubscribe --bind-to none ${command})
    list(APPEND lc_test_environment "OMP_NUM_THREADS=1")
  endif()
  add_test(NAME ${name} COMMAND ${command})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${ARG_LABEL}" SKIP_RETURN_CODE 4 TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "${lc_test_environment}")
endfunction()

# lococo_python_test(name LABEL interop SCRIPT file.py [ARGS ...])
# A Python test. LOCOCO_BIN is the folder of the tools, LOCOCO_SOURCE that of the sources. Exit
# code 4 means skipped; a last line "N passed, N failed, N skipped" is counted by scripts/test.sh.
function(lococo_python_test name)
  cmake_parse_arguments(ARG "" "LABEL;SCRIPT;TIMEOUT" "ARGS" ${ARGN})
  if(NOT LC_TEST_PYTHON)
    return()
  endif()
  add_test(NAME ${name}
           COMMAND "${LC_TEST_PYTHON}" "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SCRIPT}" ${ARG_ARGS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${ARG_LABEL}" SKIP_RETURN_CODE 4 TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "${lc_test_environment};LOCOCO_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};\
LOCOCO_SOURCE=${PROJECT_SOURCE_DIR};PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/support;\
PYTHONDONTWRITEBYTECODE=1")
endfunction()

# lococo_fuzz_target(name source libs...): `source` defines LLVMFuzzerTestOneInput.
# With LC_FUZZER (clang) libFuzzer drives it; otherwise a small driver of our own does, which
# replays the corpus it is given and mutates it for a fixed number of rounds. Either way a short run
# over tests/fuzz/corpus/NAME is a test of the label `unit`.
function(lococo_fuzz_target name source)
  if(LC_FUZZER)
    add_executable(${name} ${source})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${source} "${PROJECT_SOURCE_DIR}/tests/support/fuzz_main.cpp")
  endif()
  target_link_libraries(${name} PRIVATE lc_flags ${ARGN} lc_warnings)
  set_target_properties(${name} PROPERTIES
    LINKER_LANGUAGE CXX RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  if(NOT EXISTS "${corpus}")
    set(corpus "")
  endif()
  set(scratch "${PROJECT_BINARY_DIR}/tests/${name}_run")  # libFuzzer adds to the first folder
  file(MAKE_DIRECTORY "${scratch}")
  if(LC_FUZZER)
    add_test(NAME ${name} WORKING_DIRECTORY "${scratch}"
             COMMAND ${name} -runs=2000 -seed=1 "${scratch}" ${corpus})
  else()
    add_test(NAME ${name} WORKING_DIRECTORY "${scratch}"
             COMMAND ${name} --rounds 2000 --seed 1 ${corpus})
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS unit TIMEOUT 300 ENVIRONMENT "${lc_test_environment}")
endfunction()
