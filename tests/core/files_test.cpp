#include "core/files.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "core/safetensors.h"
#include "core/safetensors_write.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;

namespace {

/// Runs `write` in a child process whose files may not exceed 4 KiB, as on a full disk; returns the
/// line of its UserError, or what happened instead.
template <typename Write>
std::string error_on_full_disk(const Write& write) {
  int channel[2];
  REQUIRE(pipe(channel) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::string line = "nothing was thrown";
    try {
      write();
    } catch (const lococo::UserError& error) {
      line = error.what();
    } catch (const std::exception& error) {
      line = std::string("not a UserError: ") + error.what();
    }
    const ssize_t written = ::write(channel[1], line.data(), line.size());
    _exit(written == static_cast<ssize_t>(line.size()) ? 0 : 1);
  }
  close(channel[1]);
  std::string line(4096, '\0');
  const ssize_t length = read(channel[0], line.data(), line.size());
  close(channel[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(length >= 0);
  line.resize(static_cast<size_t>(length));
  return line;
}

bool is_empty(const std::string& folder) { return std::filesystem::is_empty(folder); }

}  // namespace

TEST_CASE("a written text file reads back, and replaces an older one", "[core][files]") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  lococo::write_text_file(path, "first");
  CHECK(lococo::read_text_file(path) == "first");
  lococo::write_text_file(path, std::string("zero\0byte", 9));
  CHECK(lococo::read_text_file(path) == std::string("zero\0byte", 9));
  lococo::write_text_file(path, "");
  CHECK(lococo::read_text_file(path).empty());
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST_CASE("only regular files are opened, and nothing else is waited for", "[core][files]") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& name) {
    return user_error_of([&] { lococo::read_text_file(folder / name); });
  };
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_CONTAINS(error("pipe"), "pipe: is not a regular file but a FIFO");
  std::filesystem::create_symlink("pipe", folder / "link");
  CHECK_CONTAINS(error("link"), "link: is not a regular file but a FIFO");
  const int channel = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder / "socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(bind(channel, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CHECK_CONTAINS(error("socket"), "socket: is not a regular file but a socket");
  close(channel);
  CHECK_CONTAINS(user_error_of([] { lococo::read_text_file("/dev/null"); }),
                 "/dev/null: is not a regular file but a device");
}

TEST_CASE("names that cannot be looked up are the user's to mend", "[core][files]") {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("loop", folder / "loop");
  for (const std::string& path :
       {folder / std::string(300, 'n'), folder / "loop", folder / std::string(300, 'n') + "/x"}) {
    CHECK_CONTAINS(user_error_of([&] { lococo::read_text_file(path); }), path + ": cannot read");
    CHECK_CONTAINS(user_error_of([&] { lococo::path_exists(path); }), path + ": cannot be");
    CHECK_CONTAINS(user_error_of([&] { lococo::is_folder(path); }), path + ": cannot be");
  }
  CHECK(lococo::path_exists(folder.path()));
  CHECK(lococo::is_folder(folder.path()));
  CHECK_FALSE(lococo::path_exists(folder / "none"));
  lococo::write_text_file(folder / "file", "x");
  CHECK_FALSE(lococo::is_folder(folder / "file"));
  CHECK_FALSE(lococo::path_exists(folder / "file/below"));
}

TEST_CASE("a file above its limit is refused before it is read", "[core][files]") {
  const TemporaryFolder folder;
  lococo::write_text_file(folder / "a", "12345");
  CHECK(lococo::read_text_file(folder / "a", 5) == "12345");
  CHECK_CONTAINS(user_error_of([&] { lococo::read_text_file(folder / "a", 4); }),
                 "is 5 bytes long, more than the 4");
}

TEST_CASE("reading a file that is missing or a folder names it", "[core][files]") {
  const TemporaryFolder folder;
  const std::string missing = user_error_of([&] { lococo::read_text_file(folder / "none"); });
  CHECK_CONTAINS(missing, folder / "none");
  CHECK_CONTAINS(missing, "No such file");
  const std::string is_folder = user_error_of([&] { lococo::read_text_file(folder.path()); });
  CHECK_CONTAINS(is_folder, folder.path() + ": is not a regular file but a folder");
}

TEST_CASE("a file in a folder that does not exist cannot be written", "[core][files]") {
  const TemporaryFolder folder;
  const std::string path = folder / "none/a.txt";
  const std::string line = user_error_of([&] { lococo::write_text_file(path, "text"); });
  CHECK_CONTAINS(line, path + ": cannot create the file");
  CHECK_CONTAINS(line, "create its folder first");
}

TEST_CASE("an uncommitted file leaves the old one and nothing else", "[core][files]") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  lococo::write_text_file(path, "old");
  {
    lococo::AtomicFile file(path);
    file.write("new", 3);
    CHECK(std::filesystem::exists(path + ".tmp"));
  }
  CHECK(lococo::read_text_file(path) == "old");
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST_CASE("on a full disk a text file is an error and the old one stays", "[core][files]") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  lococo::write_text_file(path, "old");
  const std::string line =
      error_on_full_disk([&] { lococo::write_text_file(path, std::string(100'000, 'x')); });
  CHECK_CONTAINS(line, path + ": cannot write: File too large");
  CHECK_CONTAINS(line, "choose another folder");
  CHECK(lococo::read_text_file(path) == "old");
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST_CASE("on a full disk a safetensors file is an error and leaves no file", "[core][files]") {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  const std::vector<float> values(100'000, 1.0f);
  const lococo::TensorToWrite tensor = {"w",
                                        lococo::FileDType::kFloat32,
                                        {100'000},
                                        reinterpret_cast<const std::byte*>(values.data())};
  const std::string line = error_on_full_disk([&] { lococo::write_safetensors(path, {tensor}); });
  CHECK_CONTAINS(line, path + ": cannot write: File too large");
  CHECK(is_empty(folder.path()));
}

TEST_CASE("folders are made with their parents, but not over a file", "[core][files]") {
  const TemporaryFolder folder;
  lococo::make_directories(folder / "a/b/c");
  lococo::make_directories(folder / "a/b/c");
  CHECK(std::filesystem::is_directory(folder / "a/b/c"));
  lococo::sync_directory(folder / "a");
  lococo::write_text_file(folder / "file", "text");
  for (const std::string name : {"file", "file/inside"}) {
    const std::string path = folder / name;
    const std::string line = user_error_of([&] { lococo::make_directories(path); });
    CHECK_CONTAINS(line, path + ": cannot create the folder");
  }
  CHECK_CONTAINS(user_error_of([&] { lococo::sync_directory(folder / "none"); }), "No such file");
}

TEST_CASE("a folder is not made of a link that leads nowhere", "[core][files]") {
  const TemporaryFolder folder;
  const std::string link = folder / "link", target = folder / "none/there";
  std::filesystem::create_symlink(target, link);
  const std::string what = "is a symbolic link to " + target + ", which is not there; create that";
  for (const auto& make : {lococo::make_directories, lococo::check_can_make_directories}) {
    CHECK_CONTAINS(user_error_of([&] { make(link); }),
                   link + ": cannot create the folder: it " + what);
    CHECK_CONTAINS(user_error_of([&] { make(link + "/"); }), link + " " + what);
    CHECK_CONTAINS(user_error_of([&] { make(link + "/a/b"); }),
                   link + "/a/b: cannot create the folder: " + link + " " + what);
  }
  CHECK_FALSE(lococo::path_exists(folder / "none"));
  lococo::make_directories(target);
  for (const auto& make : {lococo::check_can_make_directories, lococo::make_directories})
    make(link + "/a/b");
  CHECK(lococo::is_folder(target + "/a/b"));
}

TEST_CASE("Whether a folder can be made is told without making it", "[core]") {
  const TemporaryFolder folder;
  const auto refusal = [](const std::string& path) {
    return user_error_of([&] { lococo::check_can_make_directories(path); });
  };
  lococo::check_can_make_directories(folder.path());
  lococo::check_can_make_directories(folder / "a/b/c/");
  CHECK_FALSE(lococo::path_exists(folder / "a"));
  lococo::write_text_file(folder / "file", "x");
  for (const std::string& path :
       {folder / "file", folder / "file/a/b", std::string("/dev/full/x")}) {
    CHECK_CONTAINS(refusal(path), path + ": cannot create the folder: Not a directory");
    CHECK(user_error_of([&] { lococo::make_directories(path); }) == refusal(path));
  }
  CHECK_CONTAINS(refusal(""), "without a name");
}
