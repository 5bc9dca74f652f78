#include "weights/fingerprint.h"

#include "core/files.h"
#include "tensor/kit/safetensors_tensor.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

// Adapters and checkpoints carry these values: another one would part them from their base.
TEST_CASE("Fingerprints begin as they did when the first checkpoints were written", "[weights]") {
  TemporaryFolder folder;
  write_tensors(folder / "model.safetensors",
                {{"b", torch::arange(6, torch::kFloat32).view({2, 3})},
                 {"a", torch::arange(4, torch::kFloat32).to(torch::kBFloat16)}});
  CHECK(fingerprint_of_base(folder.path()) == "032ff4f2853b252a");
  CHECK(fingerprint_of_random_base(tiny_shape(), 1).starts_with("random-77925f854a31f599+"));
  write_text_file(folder / "text", "LoCoCo\n");
  CHECK(checksum_of_file(folder / "text") == "ce1e0c24254771f2");
}

TEST_CASE("A base is another with other norms or another RoPE", "[weights]") {
  ModelShape shape = tiny_shape();
  shape.rope_scaling = {};
  const std::string one = fingerprint_of_random_base(shape, 1);
  const auto with = [&](const auto& change) {
    ModelShape changed = shape;
    change(changed);
    return fingerprint_of_random_base(changed, 1);
  };
  const auto scaled = [](ModelShape& s) { s.rope_scaling = {RopeType::kDynamic, 8.0}; };
  for (const std::string& other :
       {with([](ModelShape& s) { s.rms_norm_eps = 0.5; }),
        with([](ModelShape& s) { s.rope_theta = 77.0; }), with(scaled)}) {
    CHECK_FALSE(may_be_same_base(one, other));
    CHECK(base_difference(one, other) == "rms_norm_eps, rope_theta or rope_scaling");
  }
  CHECK(base_difference(one, fingerprint_of_random_base(shape, 2)) == "weights");
  // Nothing is computed from them without a scaling; with one that counts from them they matter.
  const auto longer = [](ModelShape& s) { s.max_position_embeddings *= 2; };
  CHECK(with(longer) == one);
  CHECK(with([&](ModelShape& s) { scaled(s), longer(s); }) != with(scaled));
}

TEST_CASE("A fingerprint from before the arithmetic was in it fits its weights", "[weights]") {
  CHECK(may_be_same_base("032ff4f2853b252a", "032ff4f2853b252a+77925f854a31f599"));
  CHECK(may_be_same_base("", "032ff4f2853b252a+77925f854a31f599"));
  CHECK_FALSE(may_be_same_base("132ff4f2853b252a", "032ff4f2853b252a+77925f854a31f599"));
  CHECK_FALSE(
      may_be_same_base("032ff4f2853b252a+87925f854a31f599", "032ff4f2853b252a+77925f854a31f599"));
}

}  // namespace lococo::testing
