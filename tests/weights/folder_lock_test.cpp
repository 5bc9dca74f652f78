#include "weights/folder_lock.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"
#include "weights/atomic_folder.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

/// Runs `body` in a process of its own and ends that with SIGKILL.
template <typename Body>
void in_killed_process(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("A second writer of an output folder is refused by number and changes nothing",
          "[weights]") {
  TemporaryFolder folder;
  const std::string output = folder / "runs/one";
  {
    const FileLock lock = lock_output(output);
    CHECK(lock.held());
    const std::string line = user_error_of([&] { lock_output(output); });
    CHECK_CONTAINS(line, output + ": another lococo-train (pid " + std::to_string(::getpid()) +
                             ") is writing here");
    CHECK(read_text_file(output + "/.lock") == std::to_string(::getpid()) + "\n");
  }
  CHECK(lock_output(output).held());
}

TEST_CASE("The lock of a killed process is no obstacle", "[weights]") {
  TemporaryFolder folder;
  in_killed_process([&] { lock_output(folder.path()).held(); });
  CHECK(fs::exists(folder / ".lock"));
  CHECK(lock_output(folder.path()).held());
}

TEST_CASE("A lock that is no file of ours is refused", "[weights]") {
  TemporaryFolder folder;
  SECTION("a folder") { folder.make(".lock"); }
  SECTION("a link") { fs::create_symlink(folder / "elsewhere", folder / ".lock"); }
  SECTION("a FIFO") { REQUIRE(::mkfifo((folder / ".lock").c_str(), 0600) == 0); }
  CHECK_CONTAINS(user_error_of([&] { lock_output(folder.path()); }), "/.lock: ");
}

TEST_CASE("Two processes that write one name do not meet, and the first result stays",
          "[weights]") {
  TemporaryFolder folder;
  const std::string name = folder / "export";
  AtomicFolder first(name, ExistingFolder::kRefuse), second(name, ExistingFolder::kRefuse);
  REQUIRE(first.path() != second.path());
  write_text_file(first.path() + "/weights", "first");
  write_text_file(second.path() + "/weights", "second");
  first.commit();
  CHECK_CONTAINS(user_error_of([&] { second.commit(); }), name + ": exists by now");
  CHECK(read_text_file(name + "/weights") == "first");
}

TEST_CASE("What a killed process left under a hidden name is removed by the next", "[weights]") {
  TemporaryFolder folder;
  const std::string name = folder / "export";
  in_killed_process([&] {
    auto* left = new AtomicFolder(name);  // no destructor runs
    write_text_file(left->path() + "/weights", "half");
  });
  REQUIRE(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  AtomicFolder(name).commit();
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  CHECK(fs::is_empty(name));
}

TEST_CASE("A folder made through a hidden name has the usual permissions", "[weights]") {
  TemporaryFolder folder;
  AtomicFolder(folder / "export").commit();
  CHECK(fs::status(folder / "export").permissions() ==
        fs::status(folder.make("plain")).permissions());
}

}  // namespace lococo::testing
