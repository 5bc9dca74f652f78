#include "setup/generation_config.h"

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "setup/companion_files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

nlohmann::json merged(const std::string& text, const std::vector<int64_t>& ids, int64_t bos = -1) {
  return nlohmann::json::parse(with_end_tokens(text, ids, bos, "x.json"));
}

}  // namespace

TEST_CASE("end tokens join those that are there", "[setup]") {
  using Json = nlohmann::json;
  CHECK(merged(R"({"eos_token_id": 0, "top_p": 0.9})", {2, 0}) ==
        Json::parse(R"({"eos_token_id": [0, 2], "top_p": 0.9})"));
  CHECK(merged(R"({"eos_token_id": [5, 2]})", {2}) == Json::parse(R"({"eos_token_id": [5, 2]})"));
  CHECK(merged(R"({"eos_token_id": null})", {2}) == Json::parse(R"({"eos_token_id": 2})"));
  CHECK(merged("", {2, 0}, 1) == Json::parse(R"({"bos_token_id": 1, "eos_token_id": [2, 0]})"));
  CHECK_CONTAINS(user_error_of([] { with_end_tokens("[1]", {2}, -1, "x.json"); }),
                 "x.json: is not a JSON object");
}

TEST_CASE("what was tuned on records is exported with the ends of its answers", "[setup]") {
  TemporaryFolder folder;
  Config config;
  config.model.path = folder.make("base");
  write_json(config.model.path + "/tokenizer.json", tiny_bpe());
  config.export_.kind = ExportKind::kMerged;
  const auto generation = [&]() -> std::string {
    for (const auto& file : read_companion_files(config, kBpeVocabulary)) {
      if (file.name == "generation_config.json") return file.content;
    }
    return "";
  };
  CHECK(generation().empty());
  config.data.records = {{"a.jsonl", 1.0}};  // need not be there
  CHECK(nlohmann::json::parse(generation())["eos_token_id"] == kEndOfText);
  const std::string own = R"({"eos_token_id": 7})";
  write_text_file(config.model.path + "/generation_config.json", own);
  CHECK(nlohmann::json::parse(generation())["eos_token_id"] == nlohmann::json({7, kEndOfText}));
  config.data.records.clear();
  CHECK(generation() == own);
  config.data.records = {{"a.jsonl", 1.0}};
  write_text_file(config.model.path + "/generation_config.json", "sampling");
  CHECK_CONTAINS(user_error_of(generation), "generation_config.json: is not JSON");
}
