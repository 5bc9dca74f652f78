#include "weights/hf_weights.h"

#include <ctime>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hf_config.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kOneFile = int64_t{1} << 30;
constexpr int64_t kSmallShards = 8000;

/// A folder with a random model, and the model.
struct SavedModel {
  explicit SavedModel(const ModelShape& shape = tiny_shape()) : model(tiny_llama(3, {}, shape)) {
    save_hf_model(model, folder.path(), DType::kFloat32, kOneFile);
  }
  std::string file() const { return folder / "model.safetensors"; }
  /// Rewrites the weights after a change.
  template <typename Change>
  void change(const Change& edit) {
    TensorMap tensors = read_tensors(file());
    edit(tensors);
    write_tensors(file(), tensors);
  }
  TemporaryFolder folder;
  Llama model;
};

std::string load_error(const std::string& dir, const ModelShape& shape = tiny_shape()) {
  Llama model = tiny_llama(4, {}, shape);
  const TensorMap before = snapshot(model);
  const std::string line = user_error_of([&] { load_hf_weights(model, dir); });
  CHECK(same_bits(before, snapshot(model)));  // nothing is changed by a failed load
  return line;
}

ModelShape tied_shape() {
  ModelShape shape = tiny_shape();
  shape.tie_word_embeddings = true;
  return shape;
}

/// A safetensors file whose header has exactly this text.
void write_raw(const std::string& path, const std::string& header, const std::string& data) {
  std::ofstream file(path, std::ios::binary);
  const uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << header << data;
}

}  // namespace

TEST_CASE("A saved model loads back bit for bit", "[model]") {
  SavedModel saved;
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
  const ModelShape shape = read_hf_config(saved.folder.path());
  CHECK(shape.rope_scaling.type == RopeType::kLinear);
  CHECK(shape.rope_scaling.factor == 2.0);
  CHECK(shape.num_kv_heads == 2);
}

TEST_CASE("Shards with an index load like one file and have the same fingerprint", "[model]") {
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

TEST_CASE("One changed bit changes the fingerprint", "[model]") {
  SavedModel saved;
  const std::string before = fingerprint_of_base(saved.folder.path());
  CHECK(before.size() == 16);
  saved.change([](TensorMap& tensors) {
    tensors["model.layers.1.mlp.up_proj.weight"].view({-1})[7] += 1e-3;
  });
  CHECK(fingerprint_of_base(saved.folder.path()) != before);
}

TEST_CASE("Random bases differ by seed, shape and deviation", "[model]") {
  const ModelShape shape = tiny_shape();
  const std::string one = fingerprint_of_random_base(shape, 1);
  CHECK(one.rfind("random-", 0) == 0);
  CHECK(one == fingerprint_of_random_base(shape, 1));
  CHECK(one != fingerprint_of_random_base(shape, 2));
  CHECK(one != fingerprint_of_random_base(tied_shape(), 1));
  CHECK(one != fingerprint_of_random_base(shape, 1, 0.03));
}

TEST_CASE("Half-precision files are converted to the parameter's dtype", "[model]") {
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

TEST_CASE("A bfloat16 parameter takes a float32 file", "[model]") {
  SavedModel saved;
  Llama loaded = tiny_llama(9);
  loaded->to(torch::kBFloat16);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(torch::equal(loaded->model->norm->weight,
                     saved.model->model->norm->weight.to(torch::kBFloat16)));
}

TEST_CASE("Tensors that begin at odd bytes are read right", "[model]") {
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

TEST_CASE("Missing, unknown and misshapen tensors are all named in one line", "[model]") {
  SavedModel saved;
  saved.change([](TensorMap& tensors) {
    tensors.erase("model.norm.weight");
    tensors["model.extra.weight"] = torch::zeros({2});
    tensors["lm_head.weight"] = torch::zeros({2, 3});
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].to(torch::kInt32);
  });
  const std::string line = load_error(saved.folder.path());
  CHECK_CONTAINS(line, saved.folder.path());
  CHECK_CONTAINS(line, "1 tensor missing (model.norm.weight)");
  CHECK_CONTAINS(line, "1 tensor unknown (model.extra.weight)");
  CHECK_CONTAINS(line, "lm_head.weight: [2, 3] in the file, [61, 32] in the model");
  CHECK_CONTAINS(line, "model.embed_tokens.weight: I32");
}

TEST_CASE("No more than ten names of a kind are listed", "[model]") {
  SavedModel saved;
  saved.change([](TensorMap& tensors) {
    for (int i = 0; i < 12; ++i) tensors["extra." + std::to_string(100 + i)] = torch::zeros({1});
  });
  const std::string line = load_error(saved.folder.path());
  CHECK_CONTAINS(line, "12 tensors unknown (extra.100, ");
  CHECK_CONTAINS(line, "extra.109, ...)");
}

TEST_CASE("A missing shard is named", "[model]") {
  SavedModel saved;
  TemporaryFolder sharded;
  save_hf_model(saved.model, sharded.path(), DType::kFloat32, kSmallShards);
  const auto index =
      nlohmann::json::parse(read_text_file(sharded / "model.safetensors.index.json"));
  const std::string shard = index["weight_map"]["model.norm.weight"];
  SECTION("the file is not there") {
    fs::remove(sharded / shard);
    CHECK_CONTAINS(load_error(sharded.path()), shard + ": this shard is missing");
  }
  SECTION("the file does not hold what the index says") {
    TensorMap tensors = read_tensors(sharded / shard);
    tensors.erase("model.norm.weight");
    write_tensors(sharded / shard, tensors);
    CHECK_CONTAINS(load_error(sharded.path()),
                   "names tensor model.norm.weight in " + shard + ", which does not hold it");
  }
  SECTION("two shards hold the same tensor") {
    TensorMap tensors = read_tensors(sharded / shard);
    const std::string other = index["weight_map"]["lm_head.weight"];
    REQUIRE(other != shard);
    tensors["lm_head.weight"] = torch::zeros({61, 32});
    write_tensors(sharded / shard, tensors);
    CHECK_CONTAINS(load_error(sharded.path()), "lm_head.weight stands in another shard too");
  }
  SECTION("a shard's name leaves the folder") {
    write_text_file(sharded / "model.safetensors.index.json",
                    R"({"weight_map": {"model.norm.weight": "../x.safetensors"}})");
    CHECK_CONTAINS(load_error(sharded.path()), "the shard of model.norm.weight is not a file name");
  }
  SECTION("the index is cut off") {
    write_text_file(sharded / "model.safetensors.index.json", R"({"weight_map": {"model.no)");
    CHECK_CONTAINS(load_error(sharded.path()), "is not JSON (at byte");
  }
}

TEST_CASE("A truncated or contradictory file is refused by name", "[model]") {
  SavedModel saved;
  SECTION("the last bytes are missing") {
    fs::resize_file(saved.file(), fs::file_size(saved.file()) - 5);
    CHECK_CONTAINS(load_error(saved.folder.path()), saved.file() + ": not a valid safetensors");
  }
  SECTION("empty") {
    fs::resize_file(saved.file(), 0);
    CHECK_CONTAINS(load_error(saved.folder.path()), saved.file());
  }
  SECTION("two tensors share bytes") {
    write_raw(saved.file(),
              R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
              R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
              std::string(12, '\0'));
    CHECK_CONTAINS(load_error(saved.folder.path()), "overlaps");
  }
}

TEST_CASE("300,000 unknown tensors are refused in seconds and with few names", "[model]") {
  const SavedModel saved;
  std::string header = "{";
  for (int i = 0; i < 300'000; ++i) {
    header += (i > 0 ? ",\"t" : "\"t") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  write_raw(saved.file(), header + "}", "");
  const std::clock_t start = std::clock();
  const std::string line = load_error(saved.folder.path());
  const double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  CHECK_CONTAINS(line, "300000 tensors unknown (t0, ");
  CHECK(line.size() < 2000);
  CHECK(took < 60.0);  // of a processor: 1 s; quadratic time would be many minutes
}

TEST_CASE("A folder without safetensors says what to do", "[model]") {
  TemporaryFolder folder;
  CHECK_CONTAINS(load_error(folder / "nowhere"), "there is no such folder");
  CHECK_CONTAINS(load_error(folder.path()), "holds neither model.safetensors nor");
  write_text_file(folder / "pytorch_model-00001-of-00002.bin", "x");
  const std::string line = load_error(folder.path());
  CHECK_CONTAINS(line, "pytorch_model.bin");
  CHECK_CONTAINS(line, "save_pretrained");
}

TEST_CASE("Old checkpoints' inv_freq buffers are skipped", "[model]") {
  SavedModel saved;
  saved.change([](TensorMap& tensors) {
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch::ones({4});
    tensors["model.layers.1.self_attn.rotary_emb.inv_freq"] = torch::ones({4});
  });
  Llama loaded = tiny_llama(9);
  load_hf_weights(loaded, saved.folder.path());
  CHECK(same_bits(snapshot(saved.model), snapshot(loaded)));
}

TEST_CASE("A tied head may be absent or equal to the embedding, and nothing else", "[model]") {
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

TEST_CASE("LoRA and LoCoCo parameters are neither expected nor touched", "[model]") {
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

TEST_CASE("Merged weights are W + scale B A, and plain ones leave LoRA out", "[model]") {
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

TEST_CASE("A bfloat16 export holds bfloat16 and says so", "[model]") {
  Llama model = tiny_llama(3);
  TemporaryFolder folder;
  save_hf_model(model, folder.path(), DType::kBFloat16, kOneFile);
  for (const auto& [name, tensor] : read_tensors(folder / "model.safetensors")) {
    CHECK(tensor.scalar_type() == torch::kBFloat16);
  }
  CHECK_CONTAINS(read_text_file(folder / "config.json"), "bfloat16");
}

TEST_CASE("Weights that hold NaN or infinity are refused by file and tensor", "[model]") {
  const float value =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity());
  SavedModel saved;
  const std::string broken = "model.layers.1.mlp.up_proj.weight";
  const auto line_of = [](const std::string& dir) {
    Llama model = tiny_llama(4);
    return user_error_of([&] { load_hf_weights(model, dir); });
  };
  SECTION("in one file") {
    saved.change([&](TensorMap& tensors) { tensors[broken].view({-1})[7] = value; });
    CHECK_CONTAINS(line_of(saved.folder.path()),
                   saved.file() + ": tensor " + broken + " holds values that are not finite");
  }
  SECTION("in a shard") {
    TemporaryFolder sharded;
    {
      const torch::NoGradGuard no_grad;
      saved.model->named_parameters()[broken].view({-1})[7] = value;
    }
    save_hf_model(saved.model, sharded.path(), DType::kFloat32, kSmallShards);
    const std::string line = line_of(sharded.path());
    CHECK_CONTAINS(line, sharded / "model-0");
    CHECK_CONTAINS(line, ": tensor " + broken + " holds values that are not finite");
  }
}

}  // namespace lococo::testing
