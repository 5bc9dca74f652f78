# Finds LibTorch and makes `lc::torch`, and `lc::cuda` where a CUDA compiler exists.
#
# The targets are made here and not by TorchConfig.cmake: that file belongs to a CUDA build and
# stops without a complete CUDA toolkit, even for a program that only runs on CPUs, and it changes
# the CUDA flags of the whole project. What a program needs of LibTorch is short: headers, five
# libraries and the CUDA runtime that lies beside them.

# --- where LibTorch is: LC_TORCH_ROOT, the project's own .venv, CMAKE_PREFIX_PATH, python3
set(LC_TORCH_ROOT "" CACHE PATH "LibTorch: the folder that holds include/ and lib/")
function(lococo_torch_of_python python out)
  execute_process(
    COMMAND "${python}" -c
            "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(root "")
  endif()
  set(${out} "${root}" PARENT_SCOPE)
endfunction()

set(lc_torch_hints "${LC_TORCH_ROOT}")
if(NOT LC_TORCH_ROOT)
  if(EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
    lococo_torch_of_python("${PROJECT_SOURCE_DIR}/.venv/bin/python" lc_torch_hints)
  endif()
  if(NOT lc_torch_hints)
    find_program(LC_PYTHON3 python3)
    if(LC_PYTHON3)
      lococo_torch_of_python("${LC_PYTHON3}" lc_torch_hints)
    endif()
  endif()
endif()
find_path(LC_TORCH_INCLUDE torch/csrc/api/include/torch/torch.h
          HINTS ${lc_torch_hints} PATH_SUFFIXES include)
if(NOT LC_TORCH_INCLUDE)
  message(FATAL_ERROR "LoCoCo: LibTorch not found. Run scripts/bootstrap.sh, "
                      "or give its folder with -DLC_TORCH_ROOT=...")
endif()
get_filename_component(lc_torch_root "${LC_TORCH_INCLUDE}" DIRECTORY)
set(lc_torch_lib "${lc_torch_root}/lib")

file(READ "${LC_TORCH_INCLUDE}/torch/headeronly/version.h" lc_torch_version_h)
set(LC_TORCH_VERSION "")
foreach(part MAJOR MINOR PATCH)
  string(REGEX MATCH "TORCH_VERSION_${part} ([0-9]+)" _ "${lc_torch_version_h}")
  string(APPEND LC_TORCH_VERSION ".${CMAKE_MATCH_1}")
endforeach()
string(SUBSTRING "${LC_TORCH_VERSION}" 1 -1 LC_TORCH_VERSION)
if(LC_TORCH_VERSION VERSION_LESS 2.11)
  message(FATAL_ERROR "LoCoCo: LibTorch ${LC_TORCH_VERSION} in ${lc_torch_root} is too old, "
                      "2.11 or newer is needed: run scripts/bootstrap.sh")
endif()

# --- CUDA: a compiler and a CUDA build of LibTorch, or CPU only
set(lc_nvidia "${lc_torch_root}/../nvidia")  # where pip puts NCCL, cuDNN and the CUDA runtime
get_filename_component(lc_nvidia "${lc_nvidia}" ABSOLUTE)
set(LC_CUDA_FOUND OFF)
set(lc_no_cuda_why "")
if(NOT LC_WITH_CUDA)
  set(lc_no_cuda_why "LC_WITH_CUDA is off")
elseif(NOT EXISTS "${lc_torch_lib}/libtorch_cuda.so")
  set(lc_no_cuda_why "this LibTorch is a CPU build")
else()
  include(CudaCompiler)  # sets CMAKE_CUDA_COMPILER, or lc_no_cuda_why
endif()

# --- targets
function(lococo_torch_library name)
  if(NOT EXISTS "${lc_torch_lib}/lib${name}.so")
    message(FATAL_ERROR "LoCoCo: ${lc_torch_lib}/lib${name}.so is missing")
  endif()
  add_library(libtorch::${name} SHARED IMPORTED GLOBAL)
  set_target_properties(libtorch::${name} PROPERTIES
    IMPORTED_LOCATION "${lc_torch_lib}/lib${name}.so")
endfunction()

lococo_torch_library(c10)
lococo_torch_library(torch_cpu)
add_library(lc_torch INTERFACE)
add_library(lc::torch ALIAS lc_torch)
target_include_directories(lc_torch SYSTEM INTERFACE
  "${LC_TORCH_INCLUDE}" "${LC_TORCH_INCLUDE}/torch/csrc/api/include")
target_compile_definitions(lc_torch INTERFACE USE_DISTRIBUTED)
target_link_libraries(lc_torch INTERFACE libtorch::torch_cpu libtorch::c10 Threads::Threads)

if(LC_CUDA_FOUND)
  lococo_torch_library(torch_cuda)
  lococo_torch_library(c10_cuda)
  add_library(lc_cuda INTERFACE)
  add_library(lc::cuda ALIAS lc_cuda)
  # pip's runtime package alone lacks crt/, which its own headers include: then the compiler's serve.
  if(EXISTS "${lc_nvidia}/cu13/include/crt/host_defines.h")
    target_include_directories(lc_cuda SYSTEM INTERFACE "${lc_nvidia}/cu13/include")
  else()
    target_include_directories(lc_cuda SYSTEM INTERFACE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  endif()
  # The runtime beside LibTorch is the one that gets loaded.
  if(EXISTS "${lc_nvidia}/cu13/lib/libcudart.so.13")
    target_link_libraries(lc_cuda INTERFACE "${lc_nvidia}/cu13/lib/libcudart.so.13")
  else()
    find_library(LC_CUDART cudart HINTS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} REQUIRED)
    target_link_libraries(lc_cuda INTERFACE "${LC_CUDART}")
  endif()
  target_compile_definitions(lc_flags INTERFACE LOCOCO_WITH_CUDA=1)
  # Nothing calls libtorch_cuda by name; it registers its kernels when it is loaded.
  target_link_libraries(lc_torch INTERFACE lc_cuda
    "-Wl,--push-state,--no-as-needed" libtorch::torch_cuda libtorch::c10_cuda "-Wl,--pop-state")
  if(EXISTS "${lc_nvidia}/cudnn/include/cudnn.h")
    target_include_directories(lc_torch SYSTEM INTERFACE "${lc_nvidia}/cudnn/include")
  endif()
  if(EXISTS "${lc_nvidia}/nccl/include/nccl.h")
    target_include_directories(lc_torch SYSTEM INTERFACE "${lc_nvidia}/nccl/include")
    target_compile_definitions(lc_torch INTERFACE USE_C10D_NCCL)
    set(lc_nccl_text ", NCCL")
  endif()
  message(STATUS "LoCoCo: LibTorch ${LC_TORCH_VERSION}, CUDA ${CMAKE_CUDA_COMPILER_VERSION} for "
                 "${TORCH_CUDA_ARCH_LIST}${lc_nccl_text}")
else()
  message(STATUS "LoCoCo: LibTorch ${LC_TORCH_VERSION}, CPU ONLY (${lc_no_cuda_why})")
endif()
