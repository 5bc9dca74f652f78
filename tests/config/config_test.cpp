#include "config/config.h"

#include <string>

#include "config/config_write.h"
#include "config/config_yaml.h"
#include "core/files.h"
#include "tests/config/config_error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::CacheConfig;
using lococo::CachePolicyKind;
using lococo::Config;
using lococo::parse_config;
using lococo::testing::error_of;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;

namespace {

using Overrides = std::vector<std::string>;

Config with(const Overrides& overrides) { return parse_config("", "x.yaml", overrides); }

}  // namespace

TEST_CASE("an empty document gives the defaults", "[config]") {
  const std::string defaults = lococo::config_to_yaml(Config{});
  for (const char* text : {"", "# only a comment\n", "cache:\n", "{}", "---\n"}) {
    CHECK(lococo::config_to_yaml(parse_config(text, "x.yaml")) == defaults);
  }
  CHECK(lococo::config_to_yaml(lococo::load_config("", {})) == defaults);
}

TEST_CASE("overrides replace values, add keys and merge sections", "[config]") {
  const std::string yaml = "cache: {slots: 64, block: 32}\ndata: {train: &a [x], validation: *a}\n";
  const Config config = parse_config(
      yaml, "x.yaml",
      {"cache.slots=128", "cache={block: 16, buffer: 3}", "data.train=[y, z]", "train.output=o",
       "model.init.hidden_size=8", "model.init.num_attention_heads=2", "cache.slots=130",
       "model.init={vocab_size: 9, intermediate_size: 4, num_hidden_layers: 1}", "eval.lengths=8"});
  CHECK(config.cache.slots == 130);
  CHECK(config.cache.block == 16);
  CHECK(config.cache.buffer == 3);
  CHECK(config.data.train.size() == 2);
  REQUIRE(config.data.validation.size() == 1);  // the alias is not changed with its anchor
  CHECK(config.data.validation[0].path == "x");
  CHECK(config.train.output == "o");
  CHECK(config.model.init.hidden_size == 8);
  CHECK(config.model.init.vocab_size == 9);
  CHECK(config.eval.lengths == std::vector<int64_t>{8});
}

TEST_CASE("an override of a text is the text after the first =, as it is", "[config]") {
  for (const std::string text :
       {"No. 7 #street", "null",  "~",      "He said: yes", "*Hello*", "'Twas", "@home",
        "a=b",           "\"a\"", "[a, b]", "{a: b}",       "- a",     "%x",    "`x`",
        "a\nb\n",        " a ",   "! x",    "--- a",        "12",      "true",  "&",
        "\xE2\x82\xAC",  "# all"}) {
    INFO(text);
    CHECK(with({"generate.prompt=" + text}).generate.prompt == text);
    CHECK(with({"train.output=" + text}).train.output == text);
  }
  CHECK(parse_config("model: {adapter: x}", "x.yaml", {"model.adapter="}).model.adapter.empty());
  // A section's map is YAML.
  CHECK(with({"generate={prompt: \"null\"}"}).generate.prompt == "null");
}

TEST_CASE("an override of a whole value leaves nothing of the old one", "[config]") {
  const Config config = parse_config("model: {rope_scaling: {type: yarn, factor: 8, beta_fast: 3}}",
                                     "x.yaml", {"model.rope_scaling={type: linear, factor: 4}"});
  REQUIRE(config.model.rope_scaling.has_value());
  CHECK(config.model.rope_scaling->type == lococo::RopeType::kLinear);
  CHECK(config.model.rope_scaling->beta_fast == 32.0);
  CHECK_FALSE(parse_config("model: {rope_scaling: {type: linear, factor: 8}}", "x.yaml",
                           {"model.rope_scaling=null"})
                  .model.rope_scaling.has_value());
}

TEST_CASE("an unknown key names its line and the nearest key", "[config]") {
  CHECK(error_of("# one\ncache:\n  block: 3\n  slot: 4\n") ==
        "x.yaml:4: cache.slot: unknown key, did you mean cache.slots?");
  CHECK(error_of("cach:\n  slots: 4\n") == "x.yaml:1: cach: unknown key, did you mean cache?");
  CHECK_CONTAINS(error_of("slots: 4\n"), "x.yaml:1: slots: unknown key, did you mean cache.slots?");
  CHECK_CONTAINS(error_of("train: {context_length: 4}"), "did you mean data.context_length?");
  CHECK_CONTAINS(error_of("model: {init: {n_heads: 4}}"), "x.yaml:1: model.init.n_heads: unknown");
  CHECK_CONTAINS(error_of("tune: {normalizer_lr: 1e-3}"), "did you mean tune.normalizer?");
  CHECK_CONTAINS(error_of("completely_different_words: 1"), "configs/reference.yaml lists");
  CHECK_CONTAINS(error_of("cache: {x-slots: 4}"), "did you mean cache.slots?");
  CHECK(error_of("", {"cache.slot=4"}) ==
        "override cache.slot=4: cache.slot: unknown key, did you mean cache.slots?");
  CHECK(error_of("foo: 1\n") ==
        "x.yaml:1: foo: unknown key; configs/reference.yaml lists every key");
  CHECK_CONTAINS(error_of("x-a: &a {path: base}\nmodel: {<<: *a}"), "merge keys are not read");
  CHECK_CONTAINS(error_of("", {"cache={slot: 4}"}), "cache.slot: unknown key, did you mean");
}

TEST_CASE("a config file that is missing is named", "[config]") {
  CHECK_CONTAINS(user_error_of([] { lococo::load_config("/none/x.yaml", {}); }),
                 "/none/x.yaml: cannot read the file");
  const TemporaryFolder folder;
  lococo::write_text_file(folder / "x.yaml", "cache:\n  slots: 0\n");
  CHECK_CONTAINS(user_error_of([&] { lococo::load_config(folder / "x.yaml", {}); }),
                 folder / "x.yaml" + ":2: cache.slots: 0 is out of range");
}

TEST_CASE("mixed slots are int(slots * (1 - keep_fraction)) and only of lococo", "[config]") {
  CacheConfig cache;
  cache.policy = CachePolicyKind::kLococo;
  const auto mixed = [&](int64_t slots, double keep_fraction) {
    cache.slots = slots;
    cache.keep_fraction = keep_fraction;
    return cache.mixed_slots();
  };
  CHECK(mixed(512, 0.75) == 128);
  CHECK(mixed(512, 0.5) == 256);
  CHECK(mixed(7, 0.5) == 3);
  CHECK(mixed(512, 0.0) == 512);
  CHECK(mixed(512, 1.0) == 0);
  CHECK(mixed(10, 0.9) == 0);  // 10 * (1 - 0.9) is 0.9999999999999998
  CHECK(mixed(10, 0.8) == 1);  // 1.9999999999999996
  mixed(512, 0.75);
  CHECK(cache.kept_slots() == 384);
  cache.policy = CachePolicyKind::kH2o;
  CHECK(cache.mixed_slots() == 0);
  CHECK(cache.kept_slots() == 512);
}
