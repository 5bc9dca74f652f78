#include "lococo/step_plan.h"

#include "tests/support/catch.h"
#include "tests/support/policies.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

CacheConfig official(int64_t slots) {
  CacheConfig config;  // block 512, buffer 16
  config.policy = CachePolicyKind::kLococo;
  config.slots = slots;
  return config;
}

}  // namespace

TEST_CASE("512 slots and blocks of 512 compress from the third block on", "[lococo]") {
  const auto plan = make_step_plan(official(512), 4096);
  REQUIRE(plan.size() == 8);
  CHECK(plan[0].attended() == 512);
  CHECK(plan[1].cached == 512);
  CHECK_FALSE(plan[1].compress);  // 512 <= 512 + 16
  CHECK(plan[1].attended() == 1024);
  for (size_t i = 2; i < 8; ++i) {
    CHECK(plan[i].cached == 1024);
    CHECK(plan[i].compress);
    CHECK(plan[i].slots == 512);
    CHECK(plan[i].attended() == 1024);
  }
}

TEST_CASE("128 slots and blocks of 512 compress from the second block on", "[lococo]") {
  const auto plan = make_step_plan(official(128), 4096);
  REQUIRE(plan.size() == 8);
  CHECK(plan[0].attended() == 512);
  CHECK_FALSE(plan[0].compress);
  for (size_t i = 1; i < 8; ++i) {
    CHECK(plan[i].compress);
    CHECK(plan[i].attended() == 640);
  }
}

TEST_CASE("token by token the cache grows by the buffer before it is compressed", "[lococo]") {
  auto config = official(128);
  config.block = 1;
  const auto plan = make_step_plan(config, 200);
  std::vector<int64_t> compressed_at;
  for (const auto& step : plan) {
    if (step.compress) compressed_at.push_back(step.begin);
  }
  // 128 + 16 + 1 tokens are cached before the first, and 17 more before each next one.
  CHECK(compressed_at == std::vector<int64_t>{145, 162, 179, 196});
  for (const auto& step : plan) CHECK(step.attended() <= 128 + 16 + 1);
}

TEST_CASE("every plan covers the sequence once and expects the cache that the block before leaves",
          "[lococo]") {
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    const auto& config = policy_case.cache;
    for (const int64_t length :
         {int64_t{1}, config.block, config.block + 1, 5 * config.block + 2}) {
      int64_t begin = 0, cached = 0;
      for (const auto& step : make_step_plan(config, length)) {
        CHECK(step.begin == begin);
        CHECK(step.cached == cached);
        CHECK(step.length() == std::min(config.block, length - begin));
        CHECK(step.compress == (cached > config.slots + config.buffer));
        CHECK(step.detach_keys == (begin == 0));
        CHECK(step.attended() <= config.slots + config.buffer + config.block);
        begin = step.end;
        cached = step.attended();
      }
      CHECK(begin == length);
    }
  }
}

TEST_CASE("without a policy nothing is compressed and all tokens stay", "[lococo]") {
  CacheConfig config;
  config.slots = 4;
  config.block = 4;
  config.first_block_gradient = true;
  const auto plan = make_step_plan(config, 30);
  for (const auto& step : plan) {
    CHECK_FALSE(step.compress);
    CHECK_FALSE(step.detach_keys);
    CHECK(step.attended() == step.end);
  }
}

TEST_CASE("a document's plan is that of a sequence, further on", "[lococo]") {
  auto config = official(128);
  const auto alone = make_step_plan(config, 1300), inside = make_document_plan(config, 512, 1812);
  REQUIRE(inside.size() == alone.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    CHECK(inside[i].begin == alone[i].begin + 512);
    CHECK(inside[i].end == alone[i].end + 512);
    CHECK(inside[i].place() == alone[i].begin);
    CHECK(inside[i].begins_document() == (i == 0));
    CHECK(inside[i].cached == alone[i].cached);
    CHECK(inside[i].compress == alone[i].compress);
    CHECK(inside[i].detach_keys == alone[i].detach_keys);
  }
}
