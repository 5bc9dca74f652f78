#include "lessons/open_lessons.h"

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/made_novel.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// A novel and a tokenizer as files, and a config that makes lessons of them.
struct Files {
  TemporaryFolder folder;
  Config config;

  Files() {
    write_text_file(folder / "novel.txt", made_novel(3000));
    write_byte_tokenizer(folder / "tokenizer.model");
    config.data.tokenizer = folder / "tokenizer.model";
    config.data.train = {{folder / "novel.txt", 1.0}};
    config.data.lesson_share = 0.5;
    config.data.context_length = 4000;
  }

  std::shared_ptr<const Tokenizer> tokenizer() const {
    return load_tokenizer(config.data.tokenizer);
  }
  std::string refusal() const {
    return user_error_of([&] { open_lessons(config, tokenizer()); });
  }
};

}  // namespace

TEST_CASE("Lessons are made of the training texts, or of texts of their own", "[lessons]") {
  Files files;
  const auto lessons = open_lessons(files.config, files.tokenizer());
  REQUIRE(lessons);
  CHECK(lessons->lesson(1, 0).tokens.size() == 4001);
  files.config.data.lesson_texts = {files.folder / "novel.txt"};
  files.config.data.train.clear();
  CHECK(open_lessons(files.config, files.tokenizer())->fingerprint() == lessons->fingerprint());
  files.config.data.lesson_share = 0.0;
  CHECK_FALSE(open_lessons(files.config, nullptr));
}

TEST_CASE("Lessons without texts or a tokenizer are refused in one line", "[lessons]") {
  Files files;
  CHECK_CONTAINS(user_error_of([&] { open_lessons(files.config, nullptr); }), "data.tokenizer");
  write_text_file(files.folder / "raw.bin", "0123");
  files.config.data.train = {{files.folder / "raw.bin", 1.0}};
  const std::string line = files.refusal();
  CHECK_CONTAINS(line, "data.train: ");
  CHECK_CONTAINS(line, "holds tokens");
  CHECK_CONTAINS(line, "data.lesson_texts");
  files.config.data.lesson_texts = {files.folder / "missing.txt"};
  CHECK_CONTAINS(files.refusal(), "missing.txt");
}
