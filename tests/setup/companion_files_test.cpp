#include "setup/companion_files.h"

#include <filesystem>
#include <map>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/user_error.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOtherConfig = R"({"of": "the other"})";

using Contents = std::map<std::string, std::string>;

/// A base with a tokenizer.json, its config and what says how to generate.
struct Base {
  Base() {
    config.model.path = folder.make("base");
    write_json(tokenizer(), tiny_bpe());
    put("tokenizer_config.json", "config");
    put("generation_config.json", "sampling");
    config.export_.kind = ExportKind::kMerged;
  }
  std::string tokenizer() const { return config.model.path + "/tokenizer.json"; }
  void put(const std::string& name, const std::string& content) const {
    write_text_file(config.model.path + "/" + name, content);
  }
  /// Another tokenizer than the base's; returns the file.
  std::string other(const std::string& name) const {
    nlohmann::json json = tiny_bpe();
    json["added_tokens"][0]["content"] = "<|another|>";
    write_json(folder.make("other") + "/" + name, json);
    write_text_file(folder / "other/tokenizer_config.json", kOtherConfig);
    return folder / ("other/" + name);
  }
  Contents read() const {
    Contents contents;
    for (const auto& file : read_companion_files(config, kBpeVocabulary))
      CHECK(contents.emplace(file.name, file.content).second);
    return contents;
  }
  std::string error() const {
    return user_error_of([&] { read_companion_files(config, kBpeVocabulary); });
  }
  TemporaryFolder folder;
  Config config;
};

}  // namespace

TEST_CASE("A base's tokenizer goes along byte for byte, whatever its bytes are", "[setup]") {
  Base base;
  const std::string bytes("\0\xff {\r\n", 6);
  const Contents all = {{"tokenizer.json", bytes},
                        {"tokenizer.model", bytes},
                        {"tokenizer_config.json", "config"},
                        {"special_tokens_map.json", bytes},
                        {"added_tokens.json", bytes},
                        {"vocab.json", bytes},
                        {"merges.txt", ""},
                        {"chat_template.jinja", bytes}};
  for (const auto& [name, content] : all) base.put(name, content);
  base.put("README.md", "is not taken");
  base.config.export_.kind = ExportKind::kAdapter;
  CHECK(base.read() == all);
  base.config.export_.kind = ExportKind::kMerged;
  Contents merged = all;
  merged["generation_config.json"] = "sampling";
  CHECK(base.read() == merged);
  base.config.export_.kind = GENERATE(ExportKind::kConv, ExportKind::kOfficialConv);
  CHECK(base.read().empty());
}

TEST_CASE("A base without a tokenizer, and no base, have no companions", "[setup]") {
  Base base;
  base.config.model.path = base.folder.make("bare");
  CHECK(base.read().empty());
  base.config.model.path.clear();
  CHECK(base.read().empty());
}

TEST_CASE("Another tokenizer replaces the base's with all that belongs to it", "[setup]") {
  Base base;
  base.put("tokenizer.model", "of the base");
  base.put("special_tokens_map.json", "of the base");
  SECTION("under its usual name") {
    base.config.data.tokenizer = base.other("tokenizer.json");
    CHECK(base.read() == Contents{{"tokenizer.json", read_text_file(base.config.data.tokenizer)},
                                  {"tokenizer_config.json", kOtherConfig},
                                  {"generation_config.json", "sampling"}});
  }
  SECTION("under another name, alone") {
    base.config.data.tokenizer = base.other("words.bpe");
    CHECK(base.read() == Contents{{"tokenizer.json", read_text_file(base.config.data.tokenizer)},
                                  {"generation_config.json", "sampling"}});
  }
  SECTION("without a base") {
    base.config.data.tokenizer = base.other("tokenizer.json");
    base.config.model.path.clear();
    CHECK(base.read().size() == 2);
  }
}

TEST_CASE("The base's own tokenizer, named as data.tokenizer, changes nothing", "[setup]") {
  Base base;
  base.put("special_tokens_map.json", "of the base");
  const Contents want = base.read();
  base.config.data.tokenizer = base.tokenizer();
  CHECK(base.read() == want);
  base.config.data.tokenizer = base.folder / "copy.json";
  fs::copy_file(base.tokenizer(), base.config.data.tokenizer);
  CHECK(base.read() == want);
}

TEST_CASE("Links are followed, and one to nothing is told", "[setup]") {
  Base base;
  const Contents want = base.read();
  const std::string blob = base.folder / "blob";
  fs::rename(base.tokenizer(), blob);
  fs::create_symlink(blob, base.tokenizer());
  CHECK(base.read() == want);
  fs::remove(blob);
  CHECK_CONTAINS(base.error(), base.tokenizer() + ": is a link to nothing");
}

TEST_CASE("Companions that cannot be taken are refused by name", "[setup]") {
  Base base;
  SECTION("a folder") {
    fs::create_directory(base.config.model.path + "/merges.txt");
    CHECK_CONTAINS(base.error(), "merges.txt: is not a regular file");
  }
  SECTION("a file that is none of a model") {
    fs::resize_file(base.config.model.path + "/tokenizer_config.json", 100'000'001);
    CHECK_CONTAINS(base.error(), "tokenizer_config.json: is 100000001 bytes long");
  }
  SECTION("a missing data.tokenizer") {
    base.config.data.tokenizer = base.folder / "none.json";
    CHECK_CONTAINS(base.error(), "none.json: no such tokenizer");
  }
  SECTION("a data.tokenizer with more tokens than the model") {
    base.config.data.tokenizer = base.other("tokenizer.json");
    CHECK_CONTAINS(user_error_of([&] { read_companion_files(base.config, kBpeVocabulary - 1); }),
                   "data.tokenizer: has 265 tokens, the model 264");
  }
}

}  // namespace lococo::testing
