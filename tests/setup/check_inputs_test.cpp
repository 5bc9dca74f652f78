#include "setup/check_inputs.h"

#include <filesystem>

#include "core/files.h"
#include "setup/model_setup.h"
#include "tensor/kit/safetensors_tensor.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_base.h"
#include "tests/support/user_error.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

struct Inputs {
  Inputs() {
    config = config_on(write_base(folder.make("base")));
    config.tune.conv = 1e-3;
    config.tune.lora = 1e-3;
    config.tune.norm = 1e-3;
    config.model.adapter = write_checkpoint(config, folder / "run");
    config.tune = TuneConfig();
  }
  /// What loading says, and so does the check.
  std::string refusal() const {
    const std::string line = user_error_of([&] { check_inputs(config); });
    CHECK(user_error_of([&] { prepare_model(config, torch::kCPU); }) == line);
    return line;
  }
  TemporaryFolder folder;
  Config config;
};

}  // namespace

TEST_CASE("Inputs that load are accepted without being read", "[setup]") {
  Inputs inputs;
  check_inputs(inputs.config);
  prepare_model(inputs.config, torch::kCPU);
  inputs.config.cache.policy = CachePolicyKind::kH2o;
  check_inputs(inputs.config);
  inputs.config.model.adapter.clear();
  check_inputs(inputs.config);
}

TEST_CASE("What loading refuses, the check of inputs refuses in the same words", "[setup]") {
  Inputs inputs;
  const std::string base = inputs.config.model.path, adapter = inputs.config.model.adapter;
  SECTION("no weights") {
    fs::remove(base + "/model.safetensors");
    CHECK_CONTAINS(inputs.refusal(), "holds neither model.safetensors");
  }
  SECTION("weights that are cut off") {
    fs::resize_file(base + "/model.safetensors", 5000);
    CHECK_CONTAINS(inputs.refusal(), base + "/model.safetensors: ");
  }
  SECTION("weights of another shape") {
    auto tensors = read_tensors(base + "/model.safetensors");
    tensors["model.norm.weight"] = torch::ones({7});
    tensors.erase("lm_head.weight");
    write_tensors(base + "/model.safetensors", tensors);
    CHECK_CONTAINS(inputs.refusal(), "1 tensor missing (lm_head.weight); 1 tensor of another");
  }
  SECTION("no such adapter") {
    inputs.config.model.adapter = inputs.folder / "nowhere";
    CHECK_CONTAINS(inputs.refusal(), "there is no such folder (model.adapter)");
  }
  SECTION("an adapter folder with nothing in it") {
    inputs.config.model.adapter = inputs.folder.make("empty");
    CHECK_CONTAINS(inputs.refusal(), "holds no adapter_config.json");
  }
  SECTION("cache options that differ") {
    inputs.config.cache.slots = 16;
    CHECK_CONTAINS(inputs.refusal(), "cache.slots is 8 there and 16 here");
  }
  SECTION("a checkpoint with a file cut off") {
    fs::resize_file(adapter + "/adapter_model.safetensors", 100);
    CHECK_CONTAINS(inputs.refusal(), "adapter_model.safetensors is 100 bytes long");
  }
  SECTION("a checkpoint of which one byte has changed") {
    const std::string file = adapter + "/adapter_model.safetensors";
    std::string content = read_text_file(file);
    content.back() = static_cast<char>(content.back() ^ 1);
    write_text_file(file, content);
    CHECK_CONTAINS(inputs.refusal(), "adapter_model.safetensors has changed (checksum)");
  }
  SECTION("an adapter of another model") {
    ModelShape shape = tiny_shape();
    shape.hidden_size = 64;
    inputs.config.model.path = write_base(inputs.folder.make("other"), shape);
    inputs.config.model.adapter = inputs.folder.make("adapter");
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors"})
      fs::copy(adapter + "/" + name, inputs.config.model.adapter);
    CHECK_CONTAINS(user_error_of([&] { check_inputs(inputs.config); }),
                   "the adapter belongs to another model");
  }
}

}  // namespace lococo::testing
