# Finds nvcc: CMAKE_CUDA_COMPILER, the project's .venv (pip packages), PATH, /usr/local/cuda.
# Sets LC_CUDA_FOUND or lc_no_cuda_why.

if(NOT CMAKE_CUDA_COMPILER)
  find_program(LC_NVCC nvcc
    HINTS ENV CUDACXX ENV CUDA_HOME PATH_SUFFIXES bin
    PATHS /usr/local/cuda/bin "${lc_nvidia}/cu13/bin")
  if(LC_NVCC)
    set(CMAKE_CUDA_COMPILER "${LC_NVCC}")
  endif()
endif()

if(NOT CMAKE_CUDA_COMPILER)
  set(lc_no_cuda_why "no CUDA compiler found")
  return()
endif()

# 9.0 -> 90, 9.0+PTX -> 90, 9.0a -> 90a
set(lc_cuda_architectures "")
string(REPLACE " " ";" lc_arch_list "${TORCH_CUDA_ARCH_LIST}")
foreach(arch IN LISTS lc_arch_list)
  if(NOT arch MATCHES "^[0-9]+\\.[0-9][af]?(\\+PTX)?$")
    message(FATAL_ERROR "LoCoCo: TORCH_CUDA_ARCH_LIST holds '${arch}', expected for example 9.0")
  endif()
  string(REPLACE "." "" number "${arch}")
  if(number MATCHES "PTX")
    string(REPLACE "+PTX" "" number "${number}")
    list(APPEND lc_cuda_architectures "${number}")
  else()
    list(APPEND lc_cuda_architectures "${number}-real")
  endif()
endforeach()
set(CMAKE_CUDA_ARCHITECTURES "${lc_cuda_architectures}")
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # LibTorch brings it: lc::cuda links that one
enable_language(CUDA)
set(LC_CUDA_FOUND ON)
