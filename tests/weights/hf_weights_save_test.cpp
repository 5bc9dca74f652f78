#include "weights/hf_weights_save.h"

#include <filesystem>

#include "core/files.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/weights/saved_model.h"
#include "weights/fingerprint.h"

namespace lococo::testing {

namespace fs = std::filesystem;

TEST_CASE("Merged weights are W + scale B A, and plain ones leave LoRA out", "[weights]") {
  Llama model = tiny_llama(3);
  model->add_lora(2, 6.0, {"q_proj", "down_proj"}, 5);
  perturb(model, "lora_B", 0.3, 6);
  const auto& q = model->model->layers[1]->self_attn->q_proj;
  const torch::Tensor want =
      (q->weight + 3.0 * torch::mm(q->lora_B->weight, q->lora_A->weight)).detach();
  TemporaryFolder merged, plain;
  save_hf_model(model, merged.path(), DType::kFloat32, kOneFile);
  save_hf_model(model, plain.path(), std::nullopt, kOneFile, HfWeightForm::kPlain);
  const std::string name = "model.layers.1.self_attn.q_proj.weight";
  CHECK(torch::allclose(read_tensors(merged / "model.safetensors").at(name), want, 1e-6, 1e-7));
  CHECK(torch::equal(read_tensors(plain / "model.safetensors").at(name), q->weight));

  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, merged.path());
  const torch::NoGradGuard no_grad;
  const auto tokens = random_tokens(2, 20, 7);
  CHECK(torch::allclose(loaded->forward(tokens), model->forward(tokens), 1e-4, 1e-5));
}

TEST_CASE("A bfloat16 export holds bfloat16 and says so", "[weights]") {
  Llama model = tiny_llama(3);
  TemporaryFolder folder;
  save_hf_model(model, folder.path(), DType::kBFloat16, kOneFile);
  for (const auto& [name, tensor] : read_tensors(folder / "model.safetensors")) {
    CHECK(tensor.scalar_type() == torch::kBFloat16);
  }
  CHECK_CONTAINS(read_text_file(folder / "config.json"), "bfloat16");
}

TEST_CASE("Shards with an index load like one file and have the same fingerprint", "[weights]") {
  SavedModel saved;
  TemporaryFolder sharded;
  save_hf_model(saved.model, sharded.path(), DType::kFloat32, kSmallShards);
  CHECK(fs::exists(sharded / "model.safetensors.index.json"));
  CHECK_FALSE(fs::exists(sharded / "model.safetensors"));
  size_t shards = 0;
  for (const auto& entry : fs::directory_iterator(sharded.path())) {
    shards += entry.path().extension() == ".safetensors" ? 1 : 0;
  }
  CHECK(shards > 3);
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, sharded.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
  CHECK(fingerprint_of_base(sharded.path()) == fingerprint_of_base(saved.folder.path()));
}

}  // namespace lococo::testing
