#include "pipeline/layer_split.h"

#include "pipeline/pipeline.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

std::vector<int64_t> counts(int64_t layers, int64_t stages, double head) {
  ModelShape shape;
  shape.num_layers = layers;
  std::vector<int64_t> layers_of_stages;
  int64_t next = 0;
  for (const LayerRange& part : split_layers(shape, stages, head)) {
    CHECK(part.begin == next);
    CHECK(part.all == layers);
    next = part.end;
    layers_of_stages.push_back(part.count());
  }
  CHECK(next == layers);
  return layers_of_stages;
}

using Counts = std::vector<int64_t>;

}  // namespace

TEST_CASE("layers are divided so that the slowest stage has the least to do", "[pipeline]") {
  CHECK(counts(32, 2, 0.65) == Counts{16, 16});
  CHECK(counts(32, 1, 0.65) == Counts{32});
  CHECK(counts(5, 2, 0.0) == Counts{3, 2});
  CHECK(counts(4, 2, 2.0) == Counts{3, 1});
  CHECK(counts(80, 3, 0.3) == Counts{27, 27, 26});
  CHECK(counts(3, 3, 9.0) == Counts{1, 1, 1});
}

TEST_CASE("layers may be divided by hand", "[pipeline]") {
  ModelShape shape;
  shape.num_layers = 32;
  const auto parts = layer_ranges(shape, {15, 16, 1});
  CHECK(describe_split(parts, 0.5).starts_with("layers 0 to 14, 15 to 30, 31 ("));
  for (const LayerRange& part : parts) CHECK(part.all == 32);
}

TEST_CASE("the output layer of a 7B model counts as two thirds of a layer", "[pipeline]") {
  ModelShape shape;
  shape.vocab_size = 32000;
  shape.hidden_size = 4096;
  shape.intermediate_size = 11008;
  shape.num_layers = 32;
  shape.num_heads = 32;
  shape.resolve_defaults();
  Config config;
  config.train.pass = PassKind::kBlockwise;
  const double head = head_in_layers(shape, attended_tokens(config));
  CHECK(head > 0.55);
  CHECK(head < 0.7);
  const std::string text = describe_split(split_layers(shape, 2, head), head);
  CHECK(text.starts_with("layers 0 to 15, 16 to 31 (the output layer counts as 0.6"));
}

TEST_CASE("a query of a whole sequence attends to half of it, or of its segment", "[pipeline]") {
  Config config;
  config.data.context_length = 8192;
  config.cache.slots = 512;
  config.cache.block = 256;
  CHECK(attended_tokens(config) == 4096);
  config.attention.pattern = PatternKind::kS2;
  CHECK(attended_tokens(config) == 1024);
  config.attention.pattern = PatternKind::kSf;
  config.attention.sinks = 8;
  CHECK(attended_tokens(config) == 1032);
  config.train.pass = PassKind::kBlockwise;
  CHECK(attended_tokens(config) == 768);
}

TEST_CASE("ranks of one replica are neighbours", "[pipeline]") {
  const GridPlace place = place_in_grid(2, /*rank=*/5, /*ranks=*/6);
  CHECK(place.stage == 1);
  CHECK(place.replica == 2);
  CHECK(place.replicas == 3);
  CHECK(place.is_last());
  CHECK_FALSE(place.is_first());
}

TEST_CASE("ranks that stages do not divide are refused in one line", "[pipeline]") {
  CHECK_CONTAINS(user_error_of([] { place_in_grid(2, 0, 3); }),
                 "2 stages need a multiple of 2 ranks, and there are 3; start with mpirun -np 4");
  CHECK_CONTAINS(user_error_of([] { place_in_grid(3, 0, 1); }),
                 "there is 1; start with mpirun -np 3");
}
