#include "setup/taught_template.h"

#include <filesystem>

#include "chat/model_template.h"
#include "chat/template_text.h"
#include "core/files.h"
#include "core/log.h"
#include "setup/companion_files.h"
#include "setup/session.h"
#include "setup/training_sources.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_base.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/user_error.h"

namespace lococo::testing {
namespace {

constexpr const char* kJinja = "chat_template.jinja";

/// A base with a tokenizer, and what was tuned on records of some template.
struct Tuned {
  explicit Tuned(RecordTemplate form) {
    auto shape = tiny_shape();
    shape.vocab_size = kBpeVocabulary;
    run = config_on(write_base(folder.make("base"), shape));
    write_json(run.model.path + "/tokenizer.json", tiny_bpe());
    run.cache = {};
    run.tune.lora = 1e-3;
    run.data.records = {{"a.jsonl", 1.0}};
    run.data.record_template = form;
    use.model.path = run.model.path;
  }
  void train() { use.model.adapter = write_checkpoint(run, folder / "run"); }
  void put_template(ChatFormat format) const {
    write_text_file(run.model.path + "/" + kJinja, template_text(format));
  }
  std::string taught() const {
    const auto found = taught_template(use, "");
    return found ? name_of(found->format) : "nothing";
  }
  /// chat_template.jinja of an export; "" for none.
  std::string exported(ExportKind kind) const {
    Config config = use;
    config.export_.kind = kind;
    for (const auto& file : read_companion_files(config, kBpeVocabulary)) {
      if (file.name == kJinja) return file.content;
    }
    return "";
  }
  TemporaryFolder folder;
  Config run;  ///< of the training
  Config use;  ///< of what uses its result: names base and adapter alone
};

}  // namespace

TEST_CASE("An adapter's template is the one of its records", "[setup]") {
  Tuned tuned(RecordTemplate::kLongLora);
  CHECK(tuned.taught() == "nothing");
  tuned.train();
  CHECK(tuned.taught() == "longlora");
  tuned.put_template(ChatFormat::kChatml);
  CHECK(tuned.taught() == "longlora");
  tuned.use.data.records = {{"b.jsonl", 1.0}};  // of another run, with another template
  CHECK(tuned.taught() == "longlora");
}

TEST_CASE("Records in the model's own form have that of the base, or plain lines", "[setup]") {
  Tuned tuned(RecordTemplate::kAuto);
  tuned.train();
  CHECK(tuned.taught() == "plain");
  tuned.put_template(ChatFormat::kChatml);
  CHECK(tuned.taught() == "chatml");
}

TEST_CASE("A tokenizer that is gone with the template beside it is missed by its path", "[setup]") {
  Tuned tuned(RecordTemplate::kAuto);
  const std::string place = tuned.folder.make("tokenizer");
  write_json(place + "/tokenizer.json", tiny_bpe());
  write_text_file(place + "/" + kJinja, template_text(ChatFormat::kChatml));
  tuned.run.model.path.clear();  // random weights
  tuned.run.model.init = tiny_shape();
  tuned.run.data.tokenizer = place + "/tokenizer.json";
  tuned.use.model.path.clear();
  tuned.train();
  CHECK(tuned.taught() == "chatml");
  const std::string moved = tuned.folder / "moved";
  std::filesystem::rename(place, moved);
  const std::string line = user_error_of([&] { tuned.taught(); });
  CHECK_CONTAINS(line, place + "/tokenizer.json, and no such file is here; give data.tokenizer");
  CHECK(user_error_of([&] { tuned.exported(ExportKind::kAdapter); }) == line);
  tuned.use.data.tokenizer = moved + "/tokenizer.json";
  CHECK(tuned.taught() == "chatml");
}

TEST_CASE("What was tuned on texts says nothing of conversations", "[setup]") {
  Tuned tuned(RecordTemplate::kLlama2);
  tuned.run.data.records.clear();
  tuned.train();
  CHECK(tuned.taught() == "nothing");
  CHECK(tuned.exported(ExportKind::kMerged).empty());
}

TEST_CASE("An export takes the template of its records along", "[setup]") {
  Tuned tuned(RecordTemplate::kPlain);
  tuned.train();
  const auto kind = GENERATE(ExportKind::kMerged, ExportKind::kAdapter);
  CHECK(tuned.exported(kind) == template_text(ChatFormat::kPlain));
  tuned.put_template(ChatFormat::kChatml);
  CHECK(tuned.exported(kind) == template_text(ChatFormat::kPlain));
  tuned.put_template(ChatFormat::kPlain);  // with BOS, which these records had not
  tuned.run.data.add_bos = false;
  tuned.train();
  CHECK(tuned.exported(kind) == template_text(ChatFormat::kPlain, /*begins_with_bos=*/false));
  tuned.run.data.add_bos = true;
  tuned.train();
  // The base's own text of the same form may say more, and stays.
  const std::string own = "{# mine #}" + template_text(ChatFormat::kPlain);
  write_text_file(tuned.run.model.path + "/" + kJinja, own);
  CHECK(tuned.exported(kind) == own);
}

TEST_CASE("A folder of an adapter brings its template", "[setup]") {
  Tuned tuned(RecordTemplate::kAuto);
  tuned.use.model.adapter = tuned.folder.make("adapter");
  CHECK(tuned.taught() == "nothing");
  const std::string path = tuned.use.model.adapter + "/" + kJinja;
  write_text_file(path, template_text(ChatFormat::kPlain));
  CHECK(tuned.taught() == "plain");
  CHECK(tuned.exported(ExportKind::kMerged) == template_text(ChatFormat::kPlain));
  write_text_file(path, "{{ messages }}");
  CHECK_CONTAINS(user_error_of([&] { tuned.taught(); }), path + ": is none of the templates");
}

TEST_CASE("An adapter is evaluated in the template of its records, unless one is named",
          "[setup]") {
  Tuned tuned(RecordTemplate::kPlain);
  tuned.train();
  tuned.put_template(ChatFormat::kChatml);  // the base's own, which its tokenizer lacks a token of
  const std::string path = tuned.folder / "b.jsonl";
  write_text_file(path, R"({"instruction": "hello", "output": "hell"})");
  Config config = tuned.use;
  config.data.validation_records = {{path, 1.0}};
  config.data.context_length = 32;
  const auto fingerprint = [&] {
    return open_validation_records(config, kBpeVocabulary).at(0).fingerprint();
  };
  const auto log_of = [&] {
    return stderr_of([&] {
      configure_log(LogLevel::kInfo, /*is_main_rank=*/true);
      template_of_evaluation(config);
      configure_log(LogLevel::kError, /*is_main_rank=*/true);
    });
  };
  const auto asked_as_taught = fingerprint();
  CHECK_NOTHROW(check_evaluation_sources(config));
  const std::string& adapter = config.model.adapter;
  CHECK_CONTAINS(log_of(), "chat template plain, which " + adapter + " was tuned with");
  config.data.record_template = RecordTemplate::kLlama2;
  CHECK_CONTAINS(log_of(),
                 "data.template: llama-2 is given, but " + adapter + " was tuned with plain");
  config.data.record_template = RecordTemplate::kPlain;
  CHECK(fingerprint() == asked_as_taught);
  CHECK(log_of().empty());
  config.data.record_template = RecordTemplate::kAuto;
  config.model.adapter.clear();
  CHECK_CONTAINS(user_error_of(fingerprint), "<|im_start|>");
  CHECK_CONTAINS(user_error_of([&] { check_evaluation_sources(config); }), "<|im_start|>");
  // One that nobody here can read leaves data.template to the user.
  config.model.adapter = tuned.folder.make("adapter");
  write_text_file(config.model.adapter + "/" + kJinja, "{{ messages }}");
  CHECK_CONTAINS(user_error_of(fingerprint), "set data.template to plain");
}

}  // namespace lococo::testing
