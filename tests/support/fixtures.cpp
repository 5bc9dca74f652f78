#include "tests/support/fixtures.h"

#include <algorithm>
#include <cstdlib>

#include "tests/support/catch.h"

namespace lococo::testing {
namespace fs = std::filesystem;

fs::path fixtures_dir() {
  if (const char* given = std::getenv("LOCOCO_FIXTURES")) return given;
  return fs::path(LOCOCO_SOURCE_DIR) / ".." / "shared" / "reference" / "fixtures";
}

std::vector<fs::path> fixture_files(const std::string& prefix, const std::string& suffix) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fixtures_dir(), error)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty())
    SKIP_FIXTURES("no " + prefix + "*" + suffix + " in " + fixtures_dir().string());
  return files;
}

std::vector<fs::path> fixture_checkpoints() {
  std::vector<fs::path> folders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fixtures_dir() / "hf", error)) {
    if (fs::exists(entry.path() / "config.json") &&
        fs::exists(entry.path() / "expected.safetensors"))
      folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  if (folders.empty()) SKIP_FIXTURES("no checkpoint in " + (fixtures_dir() / "hf").string());
  return folders;
}

}  // namespace lococo::testing
