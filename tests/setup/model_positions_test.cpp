#include "setup/model_positions.h"

#include <string>

#include "setup/describe_run.h"
#include "tests/setup/scaled_shape.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_base.h"
#include "tests/support/user_error.h"

namespace lococo::testing {

TEST_CASE("One line says which RoPE scaling is used and why", "[setup]") {
  TemporaryFolder folder;
  Config config = config_on(write_base(folder.path(), scaled_shape(RopeType::kLlama3)));
  RopeScaling linear;
  linear.type = RopeType::kLinear;
  linear.factor = 2.0;
  CHECK(describe_rope(config) ==
        "RoPE scaling: llama3 by a factor of 4, as the base's config.json says; with cache.keys "
        "unrotated positions never exceed 16 (slots + block)");
  config.model.rope_scaling = linear;
  CHECK_CONTAINS(describe_rope(config), ", so that model.rope_scaling is left out");
  CHECK(effective_shape(config).rope_scaling.type == RopeType::kLlama3);
  config.cache.policy = CachePolicyKind::kH2o;
  config.cache.positions = PositionKind::kText;
  CHECK_CONTAINS(describe_rope(config), "stay within the base's, so that model.rope_scaling");
  CHECK(effective_shape(config).rope_scaling.type == RopeType::kLlama3);
  config.cache.positions = PositionKind::kSlot;
  config.cache.keys = KeyKind::kRotated;
  CHECK(describe_rope(config) ==
        "RoPE scaling: linear by a factor of 2, as model.rope_scaling says (the base's "
        "config.json: llama3 by a factor of 4)");
  CHECK_CONTAINS(describe_run(config), describe_rope(config));
}

TEST_CASE("Interpolation multiplies the linear scaling that a base has", "[setup]") {
  TemporaryFolder folder;
  Config config = config_on(write_base(folder.make("linear"), scaled_shape(RopeType::kLinear)));
  config.cache = {};
  config.model.interpolate_to = 200;  // the base reaches 4 x 32
  CHECK(effective_shape(config).rope_scaling.type == RopeType::kLinear);
  CHECK(effective_shape(config).rope_scaling.factor == 8.0);
  CHECK(describe_rope(config) ==
        "RoPE scaling: linear by a factor of 8, for the 200 tokens of model.interpolate_to (the "
        "base's config.json: linear by a factor of 4)");
  CHECK(known_positions(config, effective_shape(config)) == 200);
  CHECK_CONTAINS(describe_run(config), "attention in training: full");
  config.model.path = write_base(folder.make("plain"), scaled_shape(RopeType::kDefault));
  CHECK(effective_shape(config).rope_scaling.factor == 7.0);
  config.model.path = write_base(folder.make("llama3"), scaled_shape(RopeType::kLlama3));
  CHECK_CONTAINS(user_error_of([&] { effective_shape(config); }), "model.interpolate_to");
}

TEST_CASE("Positions are known unless angles are scaled for longer texts", "[setup]") {
  TemporaryFolder folder;
  Config config = config_on(write_base(folder.path(), scaled_shape(RopeType::kLlama3)));
  CHECK(known_positions(config, effective_shape(config)) == 32);
  RopeScaling linear;
  linear.type = RopeType::kLinear;
  linear.factor = 2.0;
  config.model.rope_scaling = linear;
  CHECK(known_positions(config, effective_shape(config)) == 32);  // left out: unrotated keys
  config.cache.policy = CachePolicyKind::kNone;
  CHECK_FALSE(known_positions(config, effective_shape(config)));
  config.model.rope_scaling.reset();
  CHECK_FALSE(known_positions(config, scaled_shape(RopeType::kDynamic)));
  // A base that was tuned with interpolated positions has all of them.
  ModelShape interpolated = scaled_shape(RopeType::kLinear);
  interpolated.rope_scaling.factor = 8.0;
  CHECK(known_positions(config, interpolated) == 8 * interpolated.max_position_embeddings);
}

TEST_CASE("positions are bounded at slots, and in the text under a cap", "[setup]") {
  Config config;
  config.cache = tiny_cache();
  config.cache.keys = KeyKind::kRotated;
  CHECK_FALSE(has_bounded_positions(config));
  config.cache.keys = KeyKind::kUnrotated;
  CHECK(has_bounded_positions(config));
  config.cache.policy = CachePolicyKind::kH2o;
  config.cache.positions = PositionKind::kText;
  CHECK_FALSE(has_bounded_positions(config));
  config.cache.position_cap = 24;
  CHECK(has_bounded_positions(config));
}

}  // namespace lococo::testing
