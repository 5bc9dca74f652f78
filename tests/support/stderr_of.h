// What a call prints to stderr, from C++ streams and from file descriptors alike.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace lococo::testing {

/// What `write` prints to stderr.
template <typename Write>
std::string stderr_of(const Write& write) {
  const TemporaryFolder folder;
  const int file = open((folder / "stderr").c_str(), O_CREAT | O_RDWR, 0600);
  REQUIRE(file >= 0);
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(file, STDERR_FILENO);
  write();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(file);
  return read_text_file(folder / "stderr");
}

}  // namespace lococo::testing
