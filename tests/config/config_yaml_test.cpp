// What is refused before any key is looked at: text that is not one plain YAML map.
#include "config/config_yaml.h"

#include <string>
#include <vector>

#include "tests/config/config_error.h"
#include "tests/support/catch.h"

using lococo::parse_config;
using lococo::testing::error_of;

namespace {

/// Lists of `width` entries in `levels` levels, each but the first made of aliases of the one
/// before.
std::string billion_laughs(int levels, int width) {
  std::string text;
  for (int level = 0; level < levels; ++level) {
    const std::string name = std::to_string(level), before = std::to_string(level - 1);
    text += "x-" + name + ": &a" + name + " [";
    for (int i = 0; i < width; ++i)
      text += (i > 0 ? ", " : "") + (level > 0 ? "*a" + before : std::string("1"));
    text += "]\n";
  }
  return text;
}

}  // namespace

TEST_CASE("an error is one line whatever the text holds", "[config]") {
  CHECK_CONTAINS(error_of("\"a\\nb\": 1"), "x.yaml:1: a b: unknown key");
  CHECK_CONTAINS(error_of("", {"cache.slots=\"a\\nb\""}), "expected an integer, got \"a b\"");
  CHECK_CONTAINS(error_of("", {"cache.slots=1\n2"}), "override cache.slots=1 2: ");
  CHECK(error_of("", {"cache.slots=" + std::string(10'000, 'x')}).size() < 300);
}

TEST_CASE("duplicate keys are errors", "[config]") {
  CHECK(error_of("cache:\n  slots: 4\n  slots: 5\n") ==
        "x.yaml:3: slots: the key occurs twice; remove one");
  CHECK_CONTAINS(error_of("cache: {}\ntrain: {}\ncache: {}\n"), "x.yaml:3: cache: the key occurs");
  CHECK_CONTAINS(error_of("data: {train: [{path: a, path: b}]}"), "path: the key occurs twice");
}

TEST_CASE("YAML tags are refused with their line", "[config]") {
  CHECK(error_of("train:\n  steps: !!int 7\n") ==
        "x.yaml:2: the tag tag:yaml.org,2002:int is not supported; remove it");
  CHECK_CONTAINS(error_of("cache: !mine {slots: 3}"), "x.yaml:1: the tag !mine is not supported");
  CHECK_CONTAINS(error_of("data:\n  train: !!set [a]"), "x.yaml:2: the tag");
  CHECK_CONTAINS(error_of("train: {output: !!str }"), "the tag tag:yaml.org,2002:str");
  CHECK_CONTAINS(error_of("train: {output: !<x> \"q\"}"), "the tag x");
  // An override of a text is no YAML.
  CHECK(parse_config("", "x.yaml", {"train.output=!!str x"}).train.output == "!!str x");
}

TEST_CASE("text that is not one YAML map is refused with its line", "[config]") {
  CHECK_CONTAINS(error_of("cache:\n  slots: [1\n"), "x.yaml:");
  CHECK_CONTAINS(error_of("cache:\n  slots: [1\n"), "not valid YAML");
  CHECK_CONTAINS(error_of("- a\n- b\n"), "x.yaml: is not a map of sections");
  CHECK_CONTAINS(error_of("words"), "x.yaml: is not a map of sections");
  CHECK_CONTAINS(error_of("a: 1\n---\nb: 2\n"), "more than one YAML document");
  CHECK_CONTAINS(error_of("? [a]\n: b\n"), "a key must be a word");
  CHECK_CONTAINS(error_of("~: b\n"), "a key must be a word");
  // The YAML library finds documents without end in this.
  CHECK_CONTAINS(error_of(","), "text after the last key");
  CHECK_CONTAINS(error_of("cache: {slots: 4}\n]"), "x.yaml");
  CHECK_CONTAINS(error_of("", {"cache.slots=[1"}), "override cache.slots=[1: not valid YAML");
  CHECK_CONTAINS(error_of("", {"foo"}), "override foo: is not of the form key=value");
  CHECK_CONTAINS(error_of("", {"=3"}), "is not of the form key=value");
}

TEST_CASE("YAML that grows or nests without end is refused", "[config]") {
  CHECK_CONTAINS(error_of(billion_laughs(/*levels=*/9, /*width=*/10)),
                 "the YAML has too many values");
  CHECK_CONTAINS(error_of(billion_laughs(/*levels=*/12, /*width=*/9)), "too");
  std::string texts = "x-t: &t " + std::string(1'000'000, 't') + "\nx-l: [";
  for (int i = 0; i < 1000; ++i) texts += i > 0 ? ", *t" : "*t";
  CHECK_CONTAINS(error_of(texts + "]\n"), "the YAML has too many values");
  CHECK_CONTAINS(error_of("x-a: &a [*a]\n"), "x.yaml:1:");
  CHECK_CONTAINS(error_of("x-a: " + std::string(10'000, '[')), "x.yaml:");
  CHECK_CONTAINS(error_of("x-deep: " + std::string(100'000, '[')), "nested too deeply");
}
