#include "config/config_values.h"

#include <string>

#include "config/config_write.h"
#include "config/config_yaml.h"
#include "tests/config/config_error.h"
#include "tests/support/catch.h"

using namespace lococo;
using lococo::testing::error_of;

namespace {

using Overrides = std::vector<std::string>;

Config with(const Overrides& overrides) { return parse_config("", "x.yaml", overrides); }

}  // namespace

TEST_CASE("values of a wrong type are errors", "[config]") {
  const auto error = [](const std::string& text) { return error_of("", {text}); };
  for (const char* value :
       {"12x", "1.5", "1e3", "\"5\"", "yes", "[5]", "{a: 5}", "", "~", "0x10", "--5", "+", "5 6"}) {
    INFO(value);
    CHECK_CONTAINS(error(std::string("cache.slots=") + value), "cache.slots: expected an integer");
  }
  for (const char* value :
       {"yes", "\"0.5\"", "nan", ".inf", "inf", "1e999", "0.5.5", "+-1", "[]"}) {
    INFO(value);
    CHECK_CONTAINS(error(std::string("cache.keep_fraction=") + value), "expected a number");
  }
  for (const char* value : {"yes", "1", "on", "\"true\"", "", "[true]"}) {
    INFO(value);
    CHECK_CONTAINS(error(std::string("data.add_bos=") + value), "expected true or false");
  }
  CHECK_CONTAINS(error("tune.conv=fast"), "tune.conv: expected a number, got \"fast\"");
  CHECK_CONTAINS(error_of("train: {output: [a]}"), "train.output: expected text, got a list");
  CHECK_CONTAINS(error_of("export:\n  output: {a: b}"),
                 "got a map; put text with special characters");
  CHECK_CONTAINS(error("cache=5"), "override cache=5: cache: is a section");
  CHECK_CONTAINS(error_of("cache: 5"), "x.yaml:1: cache: expected a map of keys, got \"5\"");
  CHECK_CONTAINS(error_of("cache: [1]"), "expected a map of keys, got a list");
  CHECK_CONTAINS(error("eval.lengths=[1024, two]"), "expected an integer, got \"two\"");
  CHECK_CONTAINS(error("model.rope_scaling=8"), "expected null or a map {type, factor, ...}");
  CHECK_CONTAINS(error("data.train=[[a]]"), "data.train: expected text, got a list");
  CHECK_CONTAINS(error("data.train=[{path: a, weight: b}]"), "weight: expected a number");
  CHECK_CONTAINS(error("train.resume=null"), "train.resume: expected text");
}

TEST_CASE("numbers are read in the usual spellings", "[config]") {
  CHECK(with({"train.steps=+7"}).train.steps == 7);
  CHECK(with({"train.epsilon=1e-4"}).train.epsilon == 1e-4);
  CHECK(with({"train.epsilon=1E-4"}).train.epsilon == 1e-4);
  CHECK(with({"train.clip=3"}).train.clip == 3.0);
  CHECK(with({"train.clip=+.5"}).train.clip == 0.5);
  CHECK(with({"data.add_bos=False"}).data.add_bos == false);
  CHECK(with({"train.output=12"}).train.output == "12");
  CHECK(with({"train.output="}).train.output.empty());
}

TEST_CASE("values out of range name the range", "[config]") {
  const auto error = [](const std::string& text) { return error_of("", {text}); };
  CHECK(error("cache.slots=-1") ==
        "override cache.slots=-1: cache.slots: -1 is out of range; use an integer from 1 to "
        "16777216");
  CHECK_CONTAINS(error_of("cache:\n  slots: 0\n"), "x.yaml:2: cache.slots: 0 is out of range");
  CHECK_CONTAINS(error("cache.slots=99999999999999999999"), "is out of range");
  CHECK_CONTAINS(error("train.seed=-1"), "train.seed: -1 is out of range");
  CHECK_CONTAINS(error("train.seed=18446744073709551616"), "is out of range");
  CHECK_CONTAINS(error("cache.keep_fraction=1.5"), "use a number from 0 to 1");
  CHECK_CONTAINS(error("train.beta1=1"), "train.beta1: 1 is out of range");
  CHECK_CONTAINS(error("train.epsilon=0"), "use a number from 1e-30 to 1e+12");
  CHECK_CONTAINS(error("train.epsilon=1e-300"), "train.epsilon: 1e-300 is out of range");
  CHECK_CONTAINS(error("tune.lora_alpha=-1"), "use a number above 0");
  for (const char* key :
       {"cache.slots", "cache.block", "cache.local", "cache.sinks", "generate.decode_buffer",
        "model.init.vocab_size", "model.init.hidden_size", "model.init.num_hidden_layers"}) {
    CHECK_CONTAINS(error(std::string(key) + "=1000000000"), "1000000000 is out of range");
  }
  CHECK_CONTAINS(error("tune.lora=-1e-4"), "tune.lora: -1e-4 is out of range; use a learning rate");
  CHECK_CONTAINS(error("eval.lengths=[1024, 0]"), "eval.lengths: 0 is out of range");
  CHECK_CONTAINS(error("data.context_length=1"), "data.context_length: 1 is out of range");
  CHECK_CONTAINS(error("checkpoint.keep_last=0"), "checkpoint.keep_last: 0 is out of range");
}

TEST_CASE("an unknown choice names the choices", "[config]") {
  CHECK_CONTAINS(error_of("", {"cache.policy=locco"}),
                 "\"locco\" is not a choice; use none, streaming, h2o, lococo or retention");
  CHECK_CONTAINS(error_of("", {"model.dtype=fp16"}), "use float32 or bfloat16");
  CHECK_CONTAINS(error_of("", {"log.level=loud"}), "use trace, debug, info, warn or error");
  CHECK_CONTAINS(error_of("", {"cache.policy=null"}), "is not a choice");
  CHECK_CONTAINS(error_of("", {"cache.policy=[lococo]"}), "a list is not a choice");
}

TEST_CASE("sources are a path, a list of paths or a list of maps", "[config]") {
  CHECK(with({"data.train=a b.txt"}).data.train[0].path == "a b.txt");
  CHECK(with({"data.train={path: a, weight: 2}"}).data.train[0].weight == 2.0);
  CHECK(with({"data.train=[a, b]"}).data.train[1].path == "b");
  CHECK(with({"data.train="}).data.train.empty());
  CHECK(with({"data.train=[]"}).data.train.empty());
  CHECK_CONTAINS(error_of("", {"data.train=[{path: a, wieght: 3}]"}),
                 "data.train: wieght: unknown key; a source has path and weight");
  CHECK_CONTAINS(error_of("", {"data.train=[{weight: 3}]"}), "a source has no path");
  CHECK_CONTAINS(error_of("", {"data.train=[\"\"]"}), "a source has no path");
  CHECK_CONTAINS(error_of("", {"data.train=[{path: a, weight: 0}]"}), "weight: must be positive");
}

TEST_CASE("resume is auto, never or a folder", "[config]") {
  CHECK(with({}).train.resume == Resume::kAuto);
  CHECK(with({"train.resume=never"}).train.resume == Resume::kNever);
  const Config config = with({"train.resume=out/step-5"});
  CHECK(config.train.resume == Resume::kPath);
  CHECK(config.train.resume_path == "out/step-5");
  CHECK_CONTAINS(error_of("", {"train.resume=\"\""}), "train.resume: is empty");
}

TEST_CASE("a learning rate that is absent, null or 0 trains nothing", "[config]") {
  CHECK_FALSE(with({}).tune.lora.has_value());
  CHECK_FALSE(parse_config("tune: {lora: 1e-4}", "x", {"tune.lora=null"}).tune.lora.has_value());
  CHECK(with({"tune.lora=0"}).tune.lora == 0.0);
  CHECK(with({"tune.lora=1e-4"}).tune.lora == 1e-4);
}

TEST_CASE("rope_scaling takes the parameters of its type and no others", "[config]") {
  const auto error = [](const std::string& map) {
    return error_of("", {"model.rope_scaling=" + map});
  };
  CHECK_CONTAINS(error("{factor: 4}"), "type is missing");
  CHECK_CONTAINS(error("{type: linear}"), "factor is missing");
  CHECK_CONTAINS(error("{type: longrope, factor: 4}"), "\"longrope\" is not a choice");
  CHECK_CONTAINS(error("{type: linear, factor: 4, beta_fast: 3}"), "beta_fast: unknown key for");
  CHECK_CONTAINS(error("{type: yarn, factor: 4, low_freq_factor: 3}"), "low_freq_factor: unknown");
  CHECK_CONTAINS(error("{type: default, factor: 4}"), "factor: unknown key for type default");
  CHECK_CONTAINS(error("{type: linear, factor: 0.5}"), "the factor must be at least 1");
  CHECK_CONTAINS(error("{type: llama3, factor: 8, low_freq_factor: 4}"), "must be larger");
  const Config config =
      with({"model.rope_scaling={rope_type: dynamic, factor: 2, "
            "original_max_position_embeddings: 512}"});
  CHECK(config.model.rope_scaling->type == RopeType::kDynamic);
  CHECK(config.model.rope_scaling->original_max_position_embeddings == 512);
  CHECK(with({"model.rope_scaling={type: default}"}).model.rope_scaling.has_value());
}
