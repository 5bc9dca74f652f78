#include "core/output_file.h"

#include <sys/stat.h>

#include <filesystem>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;
namespace fs = std::filesystem;

namespace {

std::string refusal(const std::string& path, bool overwrite) {
  return user_error_of([&] { check_output_file(path, "eval.output", overwrite); });
}

}  // namespace

TEST_CASE("a new file, an empty one and a result of ours may be written", "[core]") {
  const TemporaryFolder folder;
  check_output_file("", "eval.output", false);
  check_output_file(folder / "new.json", "eval.output", false);
  write_text_file(folder / "empty.json", "");
  check_output_file(folder / "empty.json", "eval.output", false);
  write_text_file(folder / "own.json", "{\n \"results\": [],\n \"git_revision\": \"abc\"\n}\n");
  check_output_file(folder / "own.json", "eval.output", false);
  CHECK(fs::file_size(folder / "own.json") > 0);  // looked at, not touched
  CHECK_FALSE(fs::exists(folder / "new.json"));
}

TEST_CASE("a file of the user's and a symlink are replaced only on request", "[core]") {
  const TemporaryFolder folder;
  write_text_file(folder / "thesis.txt", "years of work, \"git_revision\"");
  fs::create_symlink(folder / "thesis.txt", folder / "link.json");
  fs::create_symlink(folder / "nowhere", folder / "dangling.json");
  for (const std::string name : {"thesis.txt", "link.json", "dangling.json"}) {
    INFO(name);
    CHECK_CONTAINS(refusal(folder / name, false), "eval.output: " + (folder / name));
    CHECK_CONTAINS(refusal(folder / name, false), "eval.overwrite=true");
    check_output_file(folder / name, "eval.output", true);
  }
  // What a symlink points to stays as it is.
  write_text_file(folder / "link.json", "{}");
  CHECK_CONTAINS(read_text_file(folder / "thesis.txt"), "years of work");
}

TEST_CASE("what is no file is never replaced", "[core]") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const bool overwrite = GENERATE(false, true);
  CHECK_CONTAINS(refusal(folder / "fifo", overwrite), "is not a regular file");
  CHECK_CONTAINS(refusal(folder.path(), overwrite), "is a folder");
  CHECK_CONTAINS(refusal(folder / "missing/x.json", overwrite), "there is no folder");
  CHECK_CONTAINS(refusal(folder / std::string(300, 'x'), overwrite), "cannot be written");
  fs::create_symlink(folder / "loop", folder / "loop");
  CHECK_CONTAINS(refusal(folder / "loop/x.json", overwrite), "cannot be written");
  // The name that is written first, before it is renamed.
  REQUIRE(mkfifo((folder / "x.json.tmp").c_str(), 0600) == 0);
  CHECK_CONTAINS(refusal(folder / "x.json", overwrite), "in the way");
}
