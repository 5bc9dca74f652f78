#include <string>
#include <vector>

#include "config/config_effect.h"
#include "config/config_yaml.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;
using lococo::testing::user_error_of;

namespace {

/// The error of LoRA through segments with these changes.
std::string error_with(std::vector<std::string> changes) {
  std::vector<std::string> options = {"attention.pattern=s2", "tune.lora=0.001"};
  options.insert(options.end(), changes.begin(), changes.end());
  return user_error_of([&] { load_config("", options); });
}

void check_says(const std::string& line, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) CHECK_CONTAINS(line, part);
}

AttentionConfig attention_of(const std::vector<std::string>& options) {
  return load_config("", options).attention;
}

}  // namespace

TEST_CASE("S2-Attn and SF-Attn have their papers' segments, shifts and sinks unless told otherwise",
          "[config]") {
  const auto s2 = attention_of({"attention.pattern=s2"}),
             sf = attention_of({"attention.pattern=sf"});
  CHECK(s2.group(32768) == 8192);
  CHECK(s2.group(10) == 2);
  CHECK(s2.shifted_heads(32) == 16);
  CHECK(s2.shifted_heads(9) == 5);
  CHECK(s2.sink_tokens() == 0);
  CHECK(sf.group(32768) == 8192);
  CHECK(sf.shifted_heads(32) == 8);
  CHECK(sf.shifted_heads(9) == 2);
  CHECK(sf.shifted_heads(4) == 1);
  CHECK(sf.sink_tokens() == 4);
  const auto own =
      attention_of({"attention={pattern: sf, group_tokens: 100, shift_fraction: 1, "
                    "sinks: 0}"});
  CHECK(own.group(32768) == 100);
  CHECK(own.shifted_heads(32) == 16);
  CHECK(own.sink_tokens() == 0);
  CHECK(attention_of({"attention={pattern: s2, group_fraction: 0.5}"}).group(4096) == 2048);
}

TEST_CASE("patterns that cannot work are refused with a way out", "[config]") {
  check_says(error_with({"attention={group_tokens: 8, group_fraction: 0.5}"}),
             {"attention.group_tokens", "remove one"});
  check_says(error_with({"attention.group_fraction=0.0001"}),
             {"no token", "4096", "use a larger share"});
  check_says(error_with({"attention.group_fraction=1.5"}), {"out of range", "0 to 1"});
  check_says(error_with({"attention.group_tokens=0"}), {"out of range"});
  check_says(error_with({"attention.shift_fraction=-0.1"}), {"out of range", "0 to 1"});
  check_says(error_with({"attention={group_tokens: 8, sinks: 9}"}),
             {"attention.sinks", "9 are more than the 8 tokens of a segment"});
  check_says(error_with({"cache.policy=h2o"}), {"attention.pattern", "cache.policy none"});
  check_says(error_with({"train.pass=blockwise"}), {"attention.pattern"});
  check_says(error_with({"tune.lora=0", "eval.pattern=training", "cache.policy=h2o"}),
             {"eval.pattern", "use full"});
  check_says(error_with({"eval.windows=longlora", "eval.stride=5"}), {"eval.windows"});
  check_says(
      error_with({"model.interpolate_to=8192", "model.rope_scaling={type: linear, factor: 2}"}),
      {"model.interpolate_to", "remove one"});
}

TEST_CASE("a model tuned through segments can be read with a cache", "[config]") {
  const auto attention = attention_of({"attention.pattern=s2", "cache.policy=h2o"});
  CHECK(attention.pattern == PatternKind::kS2);
}

TEST_CASE("what full attention has no use for is named", "[config]") {
  check_says(effect_warning(load_config("", {"attention.sinks=4"})),
             {"attention.sinks", "full has no segments"});
  CHECK(effect_warning(load_config(
            "", {"attention.pattern=sf", "attention.sinks=8", "tune.lora=0.001"})) == "");
}
