#include "setup/training_sources.h"

#include "core/files.h"
#include "core/log.h"
#include "records/open_records.h"
#include "setup/session.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// A run on raw tokens, with a tokenizer of bytes for what is text.
struct Place {
  Place() {
    configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
    config.model.init = tiny_shape();
    config.data.raw_dtype = RawTokenType::kUint16;
    config.data.context_length = 32;
    config.data.train = {{file("train.bin", std::string(200, '\0')), 1.0}};
  }

  void read_texts() {
    write_byte_tokenizer(folder / "tokenizer.model");
    config.data.tokenizer = folder / "tokenizer.model";
    config.model.init.vocab_size = kByteVocabulary;
  }

  void teach_lessons() {
    config.data.lesson_share = 0.5;
    config.data.lesson_length = 4096;
  }

  std::string file(const std::string& name, const std::string& text) const {
    write_text_file(folder / name, text);
    return folder / name;
  }

  std::string refusal() const {
    return user_error_of([&] { check_training_sources(config); });
  }

  /// What the check says, and so does the run.
  std::string refusal_of_run() const {
    const std::string line = refusal();
    Config run = config;
    run.distributed.backend = CommBackend::kSingle;
    run.distributed.device = "cpu";
    run.log.level = "error";
    const auto session = start_session(run);
    CHECK(user_error_of([&] { open_training_data(run, session, run.model.init.vocab_size); }) ==
          line);
    return line;
  }

  TemporaryFolder folder;
  Config config;
};

}  // namespace

TEST_CASE("sources that a run can read pass, and none at all too", "[setup]") {
  Place place;
  check_training_sources(place.config);
  place.config.data.train.clear();
  check_training_sources(place.config);
  place.read_texts();
  place.config.data.train = {{place.file("a.txt", "A text."), 1.0}};
  place.teach_lessons();
  place.config.data.lesson_texts = {place.file("b.jsonl", "{\"text\": \"Another.\"}\n")};
  check_training_sources(place.config);
}

TEST_CASE("a source that the run refuses is refused in the same words", "[setup]") {
  Place place;
  place.config.data.train = {{place.folder / "gone.txt", 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "gone.txt: no such file or folder");
  place.config.data.train = {{place.file("a.txt", "A text."), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.txt: text needs a tokenizer");
  place.config.data.train = {{place.file("a.tokens", "no tokens"), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.tokens: ");
  place.read_texts();
  place.config.data.train = {{place.file("a.pdf", "%PDF"), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.pdf: ");
  place.config.data.train = {{place.file("a.txt", "A text."), 1.0}};
  place.teach_lessons();
  place.config.data.lesson_texts = {place.folder / "gone"};
  CHECK_CONTAINS(place.refusal_of_run(), place.folder / "gone");
}

TEST_CASE("what the beginning of a text tells is refused in the run's words", "[setup]") {
  Place place;
  place.read_texts();
  place.config.data.train = {{place.file("a.txt", ""), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.txt: the file is empty");
  place.config.data.train = {{place.file("a.txt",
                                         "fa\xE7"
                                         "ade"),
                              1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.txt: byte 2 of the text is not UTF-8");
  place.config.data.train = {{place.file("a.jsonl", "\n{\"story\": \"Once.\"}\n"), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.jsonl:2: the record has no key 'text'");
}

TEST_CASE("token files that hold too little are refused before a run", "[setup]") {
  Place place;
  place.config.data.context_length = 100;
  CHECK_CONTAINS(place.refusal_of_run(), "train.bin: 100 tokens, but a sequence");
  place.config.data.context_length = 99;
  check_training_sources(place.config);
}

TEST_CASE("a folder for token files that cannot be made is refused", "[setup]") {
  Place place;
  place.read_texts();
  place.config.data.train = {{place.file("a.txt", "A text."), 1.0}};
  place.config.data.cache_dir = place.file("taken", "no folder");
  CHECK_CONTAINS(place.refusal_of_run(), "data.cache_dir: " + place.config.data.cache_dir);
  place.config.data.cache_dir = place.folder / "cache/of/tokens";
  check_training_sources(place.config);
  CHECK_FALSE(path_exists(place.folder / "cache"));
}

TEST_CASE("lessons for which a sequence is too short are refused", "[setup]") {
  Place place;
  place.read_texts();
  place.config.data.train = {{place.file("a.txt", "A text."), 1.0}};
  place.config.data.lesson_share = 0.5;
  CHECK_CONTAINS(place.refusal_of_run(), "data.lesson_share: lessons need at least");
  place.teach_lessons();
  check_training_sources(place.config);
}

TEST_CASE("texts of lessons and of the training are told once", "[setup]") {
  Place place;
  place.read_texts();
  place.teach_lessons();
  place.config.data.train = {{place.file("a.txt", ""), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.txt: the file is empty");
}

TEST_CASE("sources of an evaluation are looked at as those of a training", "[setup]") {
  Place place;
  const auto refusal = [&] {
    return user_error_of([&] { check_evaluation_sources(place.config); });
  };
  CHECK_CONTAINS(refusal(), "data.validation: give the text or token files to evaluate on");
  place.config.data.validation = {{place.folder / "gone.txt", 1.0}};
  CHECK_CONTAINS(refusal(), "gone.txt: no such file or folder");
  place.config.data.validation = place.config.data.train;
  check_evaluation_sources(place.config);
  place.config.data.validation_records = {{place.file("a.jsonl", ""), 1.0}};
  CHECK_CONTAINS(refusal(), "data.validation_records: records need a tokenizer");
  place.read_texts();
  CHECK_CONTAINS(refusal(), "a.jsonl: holds no records");
}

TEST_CASE("tokens where lessons want texts, or of a larger vocabulary, are refused", "[setup]") {
  Place place;
  place.config.data.lesson_share = 0.5;
  CHECK_CONTAINS(place.refusal_of_run(), "data.lesson_share: lessons need a tokenizer");
  place.read_texts();
  CHECK_CONTAINS(place.refusal_of_run(), "train.bin holds tokens; data.lesson_share needs texts");
  place.config.data.lesson_share = 0.0;
  place.config.data.train = {{place.file("high.bin", std::string(200, '\xff')), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "high.bin");
}

TEST_CASE("records that are none are refused before they are tokenised", "[setup]") {
  Place place;
  place.config.data.records = {{place.file("a.jsonl", "{\"instruction\": \"Say a.\"}\n"), 1.0}};
  CHECK_CONTAINS(place.refusal(), "data.records: records need a tokenizer");
  place.read_texts();
  CHECK_CONTAINS(place.refusal_of_run(), "a.jsonl:1: ");
  place.config.data.records = {{place.file("a.jsonl", ""), 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "a.jsonl: holds no records");
  place.file("a.jsonl", R"({"instruction": "Say a.", "output": "a"})");
  check_training_sources(place.config);
  place.config.eval.every = 1;
  place.config.data.validation_records = {{place.folder / "gone.jsonl", 1.0}};
  CHECK_CONTAINS(place.refusal_of_run(), "data.validation_records: " + place.folder.path());
}

TEST_CASE("several sources that cannot be used are named in one line", "[setup]") {
  Place place;
  place.config.data.train = {{place.folder / "one.txt", 1.0}, {place.folder / "two.txt", 1.0}};
  place.config.eval.every = 10;
  place.config.data.validation = {{place.folder / "three.txt", 1.0}};
  const std::string line = place.refusal();
  for (const char* part : {"3 sources cannot be used: ", "one.txt: no", "two.txt: no", "three.txt"})
    CHECK_CONTAINS(line, part);
  CHECK(line.find('\n') == std::string::npos);
}

TEST_CASE("what only the evaluation after training reads has to be there", "[setup]") {
  Place place;
  place.config.data.validation = {{place.folder / "gone.txt", 1.0}};
  CHECK_CONTAINS(place.refusal(), "gone.txt: no such file or folder");
  CHECK_CONTAINS(place.refusal_of_run(), "gone.txt: no such file or folder");
  place.config.eval.after_training = false;
  check_training_sources(place.config);
}

TEST_CASE("records to validate on are read also without eval.every", "[setup]") {
  Place place;
  place.config.data.validation_records = {{place.folder / "gone.jsonl", 1.0}};
  CHECK_CONTAINS(place.refusal(), "gone.jsonl");
  place.config.eval.after_training = false;
  check_training_sources(place.config);
}

TEST_CASE("what only the evaluation after training cannot use is warned of", "[setup]") {
  Place place;
  place.config.data.validation = {{place.file("empty.txt", ""), 1.0}};
  CHECK_CONTAINS(stderr_of([&] { check_training_sources(place.config); }),
                 "there will be no evaluation after training: ");
  place.config.eval.after_training = false;
  CHECK(stderr_of([&] { check_training_sources(place.config); }).empty());
}

TEST_CASE("answers that the blockwise pass leaves out are warned of", "[setup]") {
  Config config;
  config.cache.policy = CachePolicyKind::kLococo;
  const auto said = [&] { return stderr_of([&] { warn_about_untrained_answers(config); }); };
  configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
  CHECK(said().empty());  // texts have targets enough
  config.data.records = {{"a.jsonl", 1.0}};
  CHECK_CONTAINS(said(), "cache.boundary_targets=true");
  config.cache.boundary_targets = true;
  CHECK(said().empty());
  config.cache.boundary_targets = false;
  config.train.pass = PassKind::kFullSequence;
  CHECK(said().empty());
}
