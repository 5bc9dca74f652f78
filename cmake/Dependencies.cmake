# Third party libraries, each behind one target `lc::NAME`. Nothing is downloaded here.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
find_package(utf8cpp REQUIRED)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)  # \p{White_Space}
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

add_library(lc_yaml INTERFACE)
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(lc_yaml INTERFACE yaml-cpp::yaml-cpp)
else()  # yaml-cpp 0.7 has no namespace
  target_link_libraries(lc_yaml INTERFACE yaml-cpp)
endif()
add_library(lc::yaml ALIAS lc_yaml)
add_library(lc_utfcpp INTERFACE)
if(TARGET utf8cpp::utf8cpp)
  target_link_libraries(lc_utfcpp INTERFACE utf8cpp::utf8cpp)
else()  # utfcpp 3 has no namespace
  target_link_libraries(lc_utfcpp INTERFACE utf8cpp)
endif()
add_library(lc::utfcpp ALIAS lc_utfcpp)
add_library(lc::json ALIAS nlohmann_json::nlohmann_json)
add_library(lc::spdlog ALIAS spdlog::spdlog)
add_library(lc::sentencepiece ALIAS PkgConfig::SENTENCEPIECE)
add_library(lc::pcre2 ALIAS PkgConfig::PCRE2)
add_library(lc::zstd ALIAS PkgConfig::ZSTD)
add_library(lc::xxhash ALIAS PkgConfig::XXHASH)

if(LC_BUILD_TOOLS OR LC_BUILD_TESTS)
  find_package(CLI11 REQUIRED)
  add_library(lc::cli ALIAS CLI11::CLI11)
endif()
if(LC_BUILD_TESTS)
  find_package(Catch2 REQUIRED)  # 2 and 3: tests/support/catch.h hides the difference
endif()

set(lc_mpi_found OFF)
if(LC_WITH_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)  # the C interface only
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(lc_mpi_found ON)
  else()
    message(STATUS "LoCoCo: no MPI found, building for one process")
  endif()
endif()
if(lc_mpi_found)
  add_library(lc_mpi INTERFACE)
  target_link_libraries(lc_mpi INTERFACE MPI::MPI_CXX)
  add_library(lc::mpi ALIAS lc_mpi)
  target_compile_definitions(lc_flags INTERFACE LOCOCO_WITH_MPI=1)
endif()

include(LibTorch)  # last: it changes CUDA variables and shadows headers of the system
