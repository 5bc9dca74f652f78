#include "eval/per_token_file.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("every target's NLL is written, and its sums are those of the evaluation", "[eval]") {
  const TemporaryFolder folder;
  const std::vector<int32_t> text = {1, 2, 3, 1, 2, 3, 9, 5, 1, 2, 7, 8, 9};
  const auto tokens = write_tokens(folder / "t.tokens", {text});
  Config config;
  config.eval.lengths = {3, 5};
  config.eval.per_token = folder / "nll.jsonl";
  auto model = tiny_llama(1);
  const auto communicator = make_communicator(config.distributed, torch::kCPU);
  const auto results = Evaluator(config, {std::make_shared<const TokenFile>(tokens)})
                           .evaluate(model, torch::kCPU, *communicator);
  REQUIRE(results.size() == 2);

  write_per_token(folder / "nll.jsonl", results);
  write_per_token(folder / "nll.bin", results);
  const std::string bytes = read_text_file(folder / "nll.bin");
  size_t at = 0;
  std::istringstream lines(read_text_file(folder / "nll.jsonl"));
  for (const auto& result : results) {
    for (const auto& segment : result.segments) {
      std::string line;
      REQUIRE(std::getline(lines, line));
      const auto json = nlohmann::json::parse(line);
      CHECK(json["length"] == result.length);
      CHECK(json["begin"] == segment.begin);
      const auto first = text.begin() + segment.begin;
      CHECK(json["ids"] == std::vector<int32_t>(first, first + result.length + 1));
      const auto nll = json["nll"].get<std::vector<float>>();
      REQUIRE(static_cast<int64_t>(nll.size()) == segment.targets);
      double sum = 0;
      for (const float value : nll) {
        sum += value;
        float same = 0;
        REQUIRE(at + sizeof same <= bytes.size());
        std::memcpy(&same, bytes.data() + at, sizeof same);
        at += sizeof same;
        CHECK(same == value);
      }
      CHECK(std::abs(sum - segment.nll_sum) < 1e-4);
    }
  }
  CHECK(at == bytes.size());
  std::string more;
  CHECK_FALSE(std::getline(lines, more));
}

TEST_CASE("a file of NLLs says its format by its name", "[eval]") {
  CHECK_CONTAINS(user_error_of([] { check_per_token_name("nll.txt"); }), "eval.per_token: nll.txt");
  check_per_token_name("");
  check_per_token_name("a.jsonl");
}
