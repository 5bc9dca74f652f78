#include "weights/hf_weights.h"

#include <cstring>

#include "core/files.h"
#include "core/hf_config.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"
#include "tests/weights/saved_model.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {
TEST_CASE("A saved model loads back bit for bit", "[weights]") {
  SavedModel saved;
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
  const ModelShape shape = read_hf_config(saved.folder.path());
  CHECK(shape.rope_scaling.type == RopeType::kLinear);
  CHECK(shape.rope_scaling.factor == 2.0);
  CHECK(shape.num_kv_heads == 2);
}

TEST_CASE("One changed bit changes the fingerprint", "[weights]") {
  SavedModel saved;
  const std::string before = fingerprint_of_base(saved.folder.path());
  CHECK(before.size() == 16 + 1 + 16);
  saved.change([](TensorMap& tensors) {
    tensors["model.layers.1.mlp.up_proj.weight"].view({-1})[7] += 1e-3;
  });
  CHECK(fingerprint_of_base(saved.folder.path()) != before);
}

TEST_CASE("Random bases differ by seed, shape and deviation", "[weights]") {
  const ModelShape shape = tiny_shape();
  const std::string one = fingerprint_of_random_base(shape, 1);
  CHECK(one.rfind("random-", 0) == 0);
  CHECK(one == fingerprint_of_random_base(shape, 1));
  CHECK(one != fingerprint_of_random_base(shape, 2));
  CHECK(one != fingerprint_of_random_base(tied_shape(), 1));
  CHECK(one != fingerprint_of_random_base(shape, 1, 0.03));
}

TEST_CASE("Half-precision files are converted to the parameter's dtype", "[weights]") {
  const auto type = GENERATE(torch::kFloat16, torch::kBFloat16);
  SavedModel saved;
  saved.change([&](TensorMap& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(type);
  });
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, saved.folder.path());
  const auto& want = saved.model->model->embed_tokens->weight;
  const auto& got = loaded->model->embed_tokens->weight;
  CHECK(got.scalar_type() == torch::kFloat32);
  CHECK(torch::equal(got, want.to(type).to(torch::kFloat32)));
}

TEST_CASE("A bfloat16 parameter takes a float32 file", "[weights]") {
  SavedModel saved;
  Llama loaded = tiny_llama(9);
  loaded->to(torch::kBFloat16);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(torch::equal(loaded->model->norm->weight,
                     saved.model->model->norm->weight.to(torch::kBFloat16)));
}

TEST_CASE("Tensors that begin at odd bytes are read right", "[weights]") {
  SavedModel saved;
  std::string bytes = read_text_file(saved.file());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  write_raw(saved.file(), bytes.substr(8, length) + " ", bytes.substr(8 + length));
  const SafetensorsFile file(saved.file());
  REQUIRE(reinterpret_cast<uintptr_t>(file.tensors().begin()->second.data) % 4 == 1);
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
}

TEST_CASE("Old checkpoints' inv_freq buffers are skipped", "[weights]") {
  SavedModel saved;
  saved.change([](TensorMap& tensors) {
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch::ones({4});
    tensors["model.layers.1.self_attn.rotary_emb.inv_freq"] = torch::ones({4});
  });
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
}

TEST_CASE("A tied head may be absent or equal to the embedding, and nothing else", "[weights]") {
  SavedModel saved(tied_shape());
  REQUIRE(read_tensors(saved.file()).count("lm_head.weight") == 0);
  SECTION("absent") {}
  SECTION("equal") {
    saved.change([](TensorMap& tensors) {
      tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
    });
  }
  SECTION("different") {
    saved.change([](TensorMap& tensors) {
      tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1;
    });
    CHECK_CONTAINS(load_error(saved.folder.path(), tied_shape()), "lm_head.weight differs");
    return;
  }
  Llama loaded = tiny_llama(9, {}, tied_shape());
  load_hf_weights(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
}

TEST_CASE("LoRA and LoCoCo parameters are neither expected nor touched", "[weights]") {
  SavedModel saved;
  Llama loaded = tiny_llama(9, tiny_cache());
  loaded->add_lora(2, 4.0, {"q_proj", "down_proj"}, 5);
  const TensorMap before = snapshot(loaded);
  load_hf_weights(loaded, saved.folder.path());
  const TensorMap base = snapshot(saved.model);
  size_t added = 0;
  for (const auto& [name, tensor] : snapshot(loaded)) {
    const bool is_base = base.count(name) > 0;
    added += is_base ? 0 : 1;
    CHECK(torch::equal(tensor, is_base ? base.at(name) : before.at(name)));
  }
  CHECK(added == 2 * (2 * 2 + 3));  // two layers: two factors of two projections, and three of conv
}

}  // namespace lococo::testing
