// Hugging Face folders that are not loaded, and what is said of them.
#include <ctime>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/weights/saved_model.h"

namespace lococo::testing {

namespace fs = std::filesystem;

TEST_CASE("Missing, unknown and misshapen tensors are all named in one line", "[weights]") {
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

TEST_CASE("No more than ten names of a kind are listed", "[weights]") {
  SavedModel saved;
  saved.change([](TensorMap& tensors) {
    for (int i = 0; i < 12; ++i) tensors["extra." + std::to_string(100 + i)] = torch::zeros({1});
  });
  const std::string line = load_error(saved.folder.path());
  CHECK_CONTAINS(line, "12 tensors unknown (extra.100, ");
  CHECK_CONTAINS(line, "extra.109, ...)");
}

TEST_CASE("A missing shard is named", "[weights]") {
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

TEST_CASE("A truncated or contradictory file is refused by name", "[weights]") {
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

TEST_CASE("300,000 unknown tensors are refused in seconds and with few names", "[weights]") {
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

TEST_CASE("A folder without safetensors says what to do", "[weights]") {
  TemporaryFolder folder;
  CHECK_CONTAINS(load_error(folder / "nowhere"), "there is no such folder");
  CHECK_CONTAINS(load_error(folder.path()), "holds neither model.safetensors nor");
  write_text_file(folder / "pytorch_model-00001-of-00002.bin", "x");
  const std::string line = load_error(folder.path());
  CHECK_CONTAINS(line, "pytorch_model.bin");
  CHECK_CONTAINS(line, "save_pretrained");
}

TEST_CASE("Weights that hold NaN or infinity are refused by file and tensor", "[weights]") {
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
