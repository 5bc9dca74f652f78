#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::MappedFile;
using lococo::testing::ChildResult;
using lococo::testing::run_in_child;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;

namespace {

constexpr size_t kPages = 3 * 4096;

std::string file_of_pages(const TemporaryFolder& folder, const std::string& name) {
  lococo::write_text_file(folder / name, std::string(kPages, 'x'));
  return folder / name;
}

char last_byte(const MappedFile& file) {
  return static_cast<char>(*static_cast<const volatile std::byte*>(file.data() + file.size() - 1));
}

}  // namespace

TEST_CASE("A mapped file has the bytes of its file", "[core][mapped_file]") {
  const TemporaryFolder folder;
  const MappedFile file(file_of_pages(folder, "a"));
  CHECK(file.size() == kPages);
  CHECK(last_byte(file) == 'x');
  CHECK(file.modified_ns() > 0);
  lococo::write_text_file(folder / "empty", "");
  CHECK(MappedFile(folder / "empty").size() == 0);
}

TEST_CASE("A file that is cut short while it is mapped ends the process with one line",
          "[core][mapped_file]") {
  const TemporaryFolder folder;
  const std::string path = file_of_pages(folder, "cut.bin");
  const ChildResult result = run_in_child([&] {
    const MappedFile before(file_of_pages(folder, "before.bin"));
    std::make_unique<MappedFile>(file_of_pages(folder, "gone.bin")).reset();
    const MappedFile cut(path);
    const MappedFile after(file_of_pages(folder, "after.bin"));
    if (truncate(path.c_str(), 100) != 0) return;
    last_byte(before);
    last_byte(after);
    last_byte(cut);
  });
  CHECK(result.exit_code == 2);
  CHECK(result.err == std::string(program_invocation_short_name) + ": error: " + path +
                          ": the file was cut short while it was read; restore it and run the "
                          "command again\n");
}

TEST_CASE("A bus error that belongs to no mapping of ours has its usual effect",
          "[core][mapped_file]") {
  const TemporaryFolder folder;
  const std::string path = file_of_pages(folder, "foreign.bin");
  const ChildResult result = run_in_child([&] {
    const MappedFile ours(file_of_pages(folder, "ours.bin"));
    const int descriptor = open(path.c_str(), O_RDONLY);
    const void* foreign = mmap(nullptr, kPages, PROT_READ, MAP_SHARED, descriptor, 0);
    if (truncate(path.c_str(), 0) != 0) return;
    static_cast<void>(*static_cast<const volatile char*>(foreign));
  });
  CHECK(result.signal == SIGBUS);
  CHECK(result.err.find("error:") == std::string::npos);
}

TEST_CASE("A mapped file whose length changed is refused where it is asked for",
          "[core][mapped_file]") {
  const TemporaryFolder folder;
  const std::string path = file_of_pages(folder, "grown.bin");
  const MappedFile file(path);
  REQUIRE(truncate(path.c_str(), kPages + 1) == 0);
  CHECK_CONTAINS(user_error_of([&] { file.modified_ns(); }),
                 "grown.bin: its length changed from 12288 to 12289 bytes");
}
