#include "bench/layout.h"

#include "tests/support/catch.h"
#include "tests/support/user_error.h"

namespace lococo {
namespace {

using Names = std::vector<std::string>;

BenchConfig with(std::vector<std::string> layouts) {
  BenchConfig bench;
  bench.layouts = std::move(layouts);
  return bench;
}

Names names_of(const BenchConfig& bench, int64_t ranks) {
  Names names;
  for (const Layout& layout : layouts_of(bench, ranks)) names.push_back(layout.name());
  return names;
}

}  // namespace

TEST_CASE("One rank alone comes first, and every layout once", "[bench][layout]") {
  CHECK(names_of(with({"2x2", "4x1", "1x1", "2x2"}), 4) == Names{"1x1", "2x2", "4x1"});
  CHECK(names_of(with({}), 8) == Names{"1x1", "8x1"});
  CHECK(names_of(with({}), 1) == Names{"1x1"});
  CHECK(Layout{4, 2}.ranks() == 8);
}

TEST_CASE("What is no layout is refused", "[bench][layout]") {
  for (const std::string text : {"", "x", "2", "2x", "x2", "0x1", "1x0", "-1x1", "2 x 1", "2x1x1",
                                 "2X1", "99999999999999999999x1"}) {
    INFO(text);
    const std::string error = testing::user_error_of([&] { layouts_of(with({text}), 64); });
    CHECK(error.find("bench.layouts: \"" + text + "\" is no layout") == 0);
  }
  CHECK(testing::user_error_of([] { layouts_of(with({"3x2"}), 4); }) ==
        "bench.layouts: 3x2 needs 6 ranks, and there are 4; start with mpirun -np 6");
}

TEST_CASE("A layout's config has its stages, where they go with the rest", "[bench][layout]") {
  Config config;
  config.cache.policy = CachePolicyKind::kLococo;
  CHECK(config_of(config, {2, 3}).distributed.pipeline == 3);
  config.distributed.stage_layers = {3, 5};
  CHECK(config_of(config, {1, 2}).distributed.stage_layers == std::vector<int64_t>{3, 5});
  CHECK(config_of(config, {2, 1}).distributed.stage_layers.empty());
  config.cache.distill = 0.5;
  const std::string error = testing::user_error_of([&] { config_of(config, {1, 2}); });
  CHECK(error.find("bench.layouts: 1x2: distributed.pipeline") == 0);
  CHECK_NOTHROW(config_of(config, {2, 1}));
}

}  // namespace lococo
