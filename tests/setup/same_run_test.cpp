#include "setup/same_run.h"

#include <functional>
#include <string>

#include "config/config_write.h"
#include "tests/support/catch.h"

using namespace lococo;

namespace {

std::string yaml_of(const std::function<void(Config*)>& change) {
  Config config;
  change(&config);
  return config_to_yaml(config);
}

}  // namespace

TEST_CASE("two configs differ at a key with its sections", "[setup]") {
  const std::string plain = yaml_of([](Config*) {});
  CHECK(first_difference(plain, plain).empty());
  CHECK(first_difference(yaml_of([](Config* config) { config->train.seed = 7; }), plain) ==
        "train.seed: 7 instead of 1");
  CHECK(first_difference(yaml_of([](Config* config) { config->cache.slots = 77; }), plain) ==
        "cache.slots: 77 instead of " + std::to_string(Config().cache.slots));
  CHECK(first_difference(plain, yaml_of([](Config* config) { config->tune.conv = 0.5; })) ==
        "tune.conv: null instead of 0.5");
}

TEST_CASE("a text that ends before the other differs where it ends", "[setup]") {
  CHECK(first_difference("a:\n  b: 1\n", "a:\n  b: 1\n  c: 2\n") == "a.c:  instead of 2");
  CHECK(first_difference("a: 1\n", "a: 1").empty());
}

TEST_CASE("a process alone is started like itself", "[setup]") {
  const auto alone = make_single_communicator();
  check_same_config(Config(), *alone);
  check_same_files("base", "data.train", {1, 2}, *alone);
}
