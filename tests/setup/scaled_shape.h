// A tiny shape whose positions are scaled.
#pragma once

#include "tests/support/tiny_llama.h"

namespace lococo::testing {

/// A scaling whose angles matter within the 32 positions of tiny_shape().
inline ModelShape scaled_shape(RopeType type) {
  ModelShape shape = tiny_shape();
  shape.rope_scaling = RopeScaling{};
  shape.rope_scaling.type = type;
  shape.rope_scaling.factor = 4.0;
  if (type == RopeType::kYarn || type == RopeType::kLlama3)
    shape.rope_scaling.original_max_position_embeddings = 16;
  return shape;
}

}  // namespace lococo::testing
