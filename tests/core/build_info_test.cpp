#include "core/build_info.h"

#include <regex>
#include <string>

#include "tests/support/catch.h"

TEST_CASE("the git revision is a short hash, dirty or not, or unknown", "[core]") {
  const std::string revision(lococo::git_revision());
  CHECK(std::regex_match(revision, std::regex("([0-9a-f]{12,40}(-dirty)?)|unknown")));
}

TEST_CASE("the build description names version, revision and LibTorch", "[core]") {
  const std::string line = lococo::build_description();
  CHECK(std::regex_search(line, std::regex("^LoCoCo-Torch [0-9]+\\.[0-9]+\\.[0-9]+ ")));
  CHECK(line.find(std::string(lococo::git_revision())) != std::string::npos);
  CHECK(line.find("LibTorch 2.") != std::string::npos);
}
