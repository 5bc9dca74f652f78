#include "core/model_shape.h"

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("linear interpolation makes room by whole factors", "[core]") {
  ModelShape shape;
  shape.max_position_embeddings = 4096;
  CHECK(interpolation_factor(shape, 4096) == 1.0);
  CHECK(interpolation_factor(shape, 8192) == 2.0);
  CHECK(interpolation_factor(shape, 12288) == 3.0);
  CHECK(interpolation_factor(shape, 32768) == 8.0);
  CHECK(interpolation_factor(shape, 65536) == 16.0);
  CHECK(interpolation_factor(shape, 100000) == 25.0);
}

TEST_CASE("a linear factor that is there is multiplied, not replaced", "[core]") {
  ModelShape shape;
  shape.max_position_embeddings = 4096;
  shape.rope_scaling = {RopeType::kLinear, 2.0};
  // The official code gives 2 for the first: relative to 8,192, and put in the place of 2.
  CHECK(interpolation_factor(shape, 16384) == 4.0);
  CHECK(interpolation_factor(shape, 8192) == 2.0);
  CHECK(interpolation_factor(shape, 100) == 2.0);
  CHECK(interpolation_factor(shape, 20000) == 6.0);
}

TEST_CASE("the positions of a scaled shape are those after the scaling", "[core]") {
  const auto positions = [](RopeType type, double factor, int64_t original, int64_t given) {
    ModelShape shape;
    shape.max_position_embeddings = given;
    shape.rope_scaling = {type, factor, original};
    return positions_of(shape);
  };
  CHECK(positions(RopeType::kDefault, 1.0, 0, 4096) == 4096);
  CHECK(positions(RopeType::kDynamic, 2.0, 0, 4096) == 4096);
  CHECK(positions(RopeType::kLinear, 8.0, 0, 4096) == 32768);
  // Before the scaling, as some files have it, and after it.
  CHECK(positions(RopeType::kYarn, 4.0, 0, 32768) == 131072);
  CHECK(positions(RopeType::kYarn, 4.0, 32768, 32768) == 131072);
  CHECK(positions(RopeType::kYarn, 4.0, 32768, 131072) == 131072);
  CHECK(positions(RopeType::kLlama3, 8.0, 0, 8192) == 65536);
  CHECK(positions(RopeType::kLlama3, 8.0, 8192, 131072) == 131072);   // Llama 3.1
  CHECK(positions(RopeType::kLlama3, 32.0, 8192, 131072) == 131072);  // Llama 3.2
}
