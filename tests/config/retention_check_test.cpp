#include <string>
#include <vector>

#include "config/config_yaml.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;
using lococo::testing::user_error_of;

namespace {

const std::vector<std::string> kMemory = {"cache.policy=retention", "cache.keys=unrotated",
                                          "cache.positions=text",   "cache.scores=accumulated",
                                          "cache.buffer=0",         "tune.retention=0.001"};

/// The error of a taught memory with these changes.
std::string error_with(const std::vector<std::string>& changes) {
  auto options = kMemory;
  options.insert(options.end(), changes.begin(), changes.end());
  return user_error_of([&] { load_config("", options); });
}

}  // namespace

TEST_CASE("gates in training mean the teaching pass", "[config]") {
  const Config config = load_config("", kMemory);
  CHECK(resolved_pass(config) == PassKind::kTeach);
  CHECK_FALSE(is_blockwise(config));
  CHECK(resolved_pass(load_config("", {"cache.policy=h2o"})) == PassKind::kBlockwise);
  CHECK(resolved_pass(Config{}) == PassKind::kFullSequence);
}

TEST_CASE("slots are shared out exactly", "[config]") {
  Config config = load_config("", kMemory);
  CacheConfig& cache = config.cache;
  cache.slots = 129;
  cache.sinks = 4;
  cache.local = 24;
  for (const double fraction : {0.0, 0.3, 0.5, 1.0}) {
    cache.alone_fraction = fraction;
    CHECK(cache.alone_slots() + cache.massed_slots() == 101);
    CHECK(cache.alone_slots() >= 0);
    CHECK(cache.massed_slots() >= 0);
  }
}

TEST_CASE("a frame begins the cap before the block, never before the text", "[config]") {
  CacheConfig cache = load_config("", kMemory).cache;
  cache.position_cap = 1500;
  CHECK(cache.frame_origin(0) == 0);
  CHECK(cache.frame_origin(1500) == 0);
  CHECK(cache.frame_origin(1501) == 1);
  cache.positions = PositionKind::kSlot;
  CHECK(cache.frame_origin(9000) == 0);
}

TEST_CASE("a memory that cannot work is refused with what to do", "[config]") {
  const auto refused = [](const std::vector<std::string>& changes, const std::string& key,
                          const std::string& what) {
    const std::string error = error_with(changes);
    CHECK_CONTAINS(error, key + ": ");
    CHECK_CONTAINS(error, what);
  };
  refused({"cache.slots=16", "cache.sinks=4", "cache.local=12"}, "cache.slots",
          "nothing to choose");
  refused({"cache.keys=rotated"}, "cache.positions", "unrotated");
  refused({"cache.positions=slot"}, "cache.positions", "set text");
  refused({"cache.position_cap=700"}, "cache.position_cap", "1024");
  refused({"cache.scores=last_block"}, "cache.scores", "accumulated");
  refused({"cache.buffer=16"}, "cache.buffer", "set 0");
  refused({"train.pass=blockwise"}, "tune.retention", "teach alone");
  refused({"tune.embed=0.001"}, "train.pass", "must not move");
  refused({"teach.slots=[]"}, "teach.slots", "is empty");
  refused({"cache.sinks=4", "teach.slots=[5]"}, "teach.slots", "nothing to choose");
  refused({"cache.slots=32", "cache.sinks=2", "cache.local=28", "teach.slots=[16, 8, 6]"},
          "teach.slots", "16 slots leave nothing to choose beside 2 sinks and 14 newest tokens");
  refused({"teach.answer_truth=1.5"}, "teach.answer_truth", "from 0 to 1");
  refused({"teach.final_temperature=0.6"}, "teach.final_temperature", "harden");
  refused({"cache.policy=h2o"}, "tune.retention", "only cache.policy retention");
  CHECK_CONTAINS(user_error_of([] { load_config("", {"cache.position_cap=9"}); }),
                 "cache.position_cap: belongs to cache.positions text");
}

TEST_CASE("mixing beside retention is tuned in blocks, in the slots that mass chose", "[config]") {
  std::vector<std::string> options = {"cache.policy=retention", "cache.scores=accumulated",
                                      "cache.mixing=conv",      "tune.conv=0.01",
                                      "cache.sinks=4",          "cache.local=28"};
  const CacheConfig cache = load_config("", options).cache;
  CHECK(cache.has_convs());
  CHECK(cache.mixed_slots() == cache.massed_slots());
  CHECK(cache.kept_slots() == cache.slots - cache.massed_slots());
  const auto error = [&](const std::string& change) {
    auto changed = options;
    changed.push_back(change);
    return user_error_of([&] { load_config("", changed); });
  };
  CHECK_CONTAINS(error("cache.alone_fraction=1"), "cache.alone_fraction: leaves no slot");
  CHECK_CONTAINS(error("cache.policy=h2o"), "cache.mixing: belongs to cache.policy retention");
  CHECK_CONTAINS(error("cache.mixing=none"),
                 "tune.conv: only cache.policy lococo and cache.mixing");
  CHECK_CONTAINS(error_with({"cache.mixing=conv"}), "cache.mixing: train.pass teach");
}

TEST_CASE("a sequence that fits into the slots teaches nothing", "[config]") {
  CHECK_CONTAINS(error_with({"data.context_length=128", "teach.slots=[128, 256]"}),
                 "data.context_length: 128 tokens fit into the 128 slots of teach.slots");
  CHECK_CONTAINS(user_error_of([] {
                   load_config("", {"cache.policy=lococo", "cache.slots=512", "cache.buffer=16",
                                    "tune.conv=0.01", "data.context_length=528"});
                 }),
                 "data.context_length: 528 tokens fit into the cache's 528 slots");
}

TEST_CASE("mixing by likeness has nothing to tune, and compares unrotated keys", "[config]") {
  const std::vector<std::string> options = {"cache.policy=retention",  "cache.scores=accumulated",
                                            "cache.mixing=similarity", "cache.keys=unrotated",
                                            "cache.sinks=4",           "cache.local=28",
                                            "train.pass=blockwise"};
  const auto error = [&](const std::string& change) {
    auto changed = options;
    changed.push_back(change);
    return user_error_of([&] { load_config("", changed); });
  };
  CHECK_FALSE(load_config("", {options.begin(), options.end()}).cache.has_convs());
  CHECK_CONTAINS(error("tune.conv=0.01"), "tune.conv: only cache.policy lococo and cache.mixing");
  CHECK_CONTAINS(error("cache.alone_fraction=1"), "cache.alone_fraction: leaves no slot");
  CHECK_CONTAINS(error("cache.keys=rotated"), "cache.mixing: similarity compares keys");
  CHECK_CONTAINS(error_with({"cache.mixing=similarity"}), "cache.mixing: train.pass teach");
}
