// model.base_precision from the files of a base to a tuned adapter.
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "model/parameter_kind.h"
#include "setup/memory_estimate.h"
#include "setup/model_positions.h"
#include "setup/model_setup.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"
#include "weights/checkpoint.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {
namespace {

constexpr int64_t kOneShard = int64_t{1} << 30;

/// A base of its own in DIR, and a run with LoRA on it in NF4 or another precision.
Config config_on_base(const TemporaryFolder& folder, DType dtype = DType::kFloat32,
                      BasePrecision precision = BasePrecision::kNf4) {
  auto base = tiny_llama(3);
  save_hf_model(base, folder.make("base"), dtype, kOneShard);
  auto config = tiny_run_config(folder.path());
  config.model.path = folder / "base";
  config.model.base_precision = precision;
  config.tune.lora = 1e-2;
  config.tune.lora_rank = 4;
  config.tune.embed = config.tune.norm = 1e-3;
  return config;
}

/// A text of few words, which is soon learned.
std::string write_periodic_tokens(const TemporaryFolder& folder) {
  std::vector<int32_t> document;
  for (int32_t i = 0; i < 700; ++i) document.push_back(3 + i % 7);
  return write_tokens(folder / "periodic.tokens", {document});
}

std::vector<double> losses_of(const Config& config) {
  std::vector<double> losses;
  std::ifstream stream(config.train.output + "/metrics.jsonl");
  for (std::string line; std::getline(stream, line);)
    losses.push_back(nlohmann::json::parse(line).at("loss").get<double>());
  return losses;
}

TensorMap trained_of(Llama& model) {
  TensorMap trained;
  for (const auto& item : model->named_parameters())
    if (item.value().requires_grad()) trained[item.key()] = item.value().detach().clone();
  return trained;
}

/// torch compares no 8-bit floating point.
torch::Tensor comparable(const torch::Tensor& part) {
  return part.scalar_type() == torch::kFloat8_e4m3fn ? part.view(torch::kUInt8) : part;
}

}  // namespace

TEST_CASE("A base is quantised from the values in its files", "[weights]") {
  const TemporaryFolder folder;
  const auto in_file = GENERATE(DType::kFloat32, DType::kBFloat16);
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  auto config = config_on_base(folder, in_file, precision);
  config.model.dtype = DType::kBFloat16;
  auto prepared = prepare_model(config, torch::kCPU);
  const auto files = read_tensors(folder / "base/model.safetensors");
  const auto layers = prepared.model->linear_layers();
  int64_t quantised = 0, bytes = 0, bytes_of_projections = 0;
  for (const auto& parameter : prepared.registry->all()) {
    const auto layer = layers.find(parameter.name);
    const bool is_quantised = layer != layers.end() && layer->second->is_quantised();
    CHECK(is_quantised == (kind_of_parameter(parameter.name) == ParameterKind::kProjection));
    bytes += is_quantised ? layer->second->weight_bytes()
                          : static_cast<int64_t>(parameter.tensor.nbytes());
    if (!is_quantised) continue;
    ++quantised;
    bytes_of_projections += layer->second->weight_bytes();
    const auto want = quantise(files.at(parameter.name), precision, /*gradients=*/true).parts();
    const auto got = layer->second->frozen_weight(torch::kBFloat16).parts();
    REQUIRE(got.size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) CHECK_SAME(comparable(got[i]), comparable(want[i]));
  }
  CHECK(quantised == 14);
  if (precision == BasePrecision::kFp8) {
    auto reading = config;
    reading.tune = TuneConfig();  // no gradients
    auto read = prepare_model(reading, torch::kCPU);
    double half = 0;
    for (const auto& [name, layer] : read.model->quantised_layers())
      half += static_cast<double>(layer->weight_bytes());
    CHECK(half < 0.55 * static_cast<double>(bytes_of_projections));
  }
  // The fingerprint is that of the files, and the estimate counts what is there.
  const auto shape = effective_shape(config);
  CHECK(estimate_memory({config, shape, prepared.registry->all()}).weights_bytes == bytes);
  config.model.base_precision = BasePrecision::kAuto;
  CHECK(prepare_model(config, torch::kCPU).base_fingerprint == prepared.base_fingerprint);
  if (precision == BasePrecision::kNf4)  // codes of 8 bits in both orders take as much as bfloat16
    CHECK(estimate_memory({config, shape, prepared.registry->all()}).weights_bytes > bytes);
}

TEST_CASE("Values that are not finite are refused before they are quantised", "[weights]") {
  const TemporaryFolder folder;
  const auto config = config_on_base(folder);
  const std::string path = folder / "base/model.safetensors";
  auto tensors = read_tensors(path);
  tensors["model.layers.1.mlp.up_proj.weight"][3][5] = std::numeric_limits<float>::infinity();
  write_tensors(path, tensors);
  const auto line = user_error_of([&] { prepare_model(config, torch::kCPU); });
  CHECK_CONTAINS(line, "model.safetensors: tensor model.layers.1.mlp.up_proj.weight holds values");
}

TEST_CASE("LoRA learns on a quantised base, and a resumed run is the uninterrupted one",
          "[weights]") {
  const TemporaryFolder folder;
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  auto config = config_on_base(folder, DType::kFloat32, precision);
  const bool blockwise = GENERATE(true, false);
  if (!blockwise) {
    config.cache = CacheConfig();
    config.tune.conv.reset();
  }
  config.data.train = {{write_periodic_tokens(folder), 1.0}};
  config.train.steps = 12;
  config.train.decay = Decay::kConstant;
  config.checkpoint.every = 6;
  TinyRun straight(config);
  straight.trainer->train();
  const auto losses = losses_of(config);
  REQUIRE(losses.size() == 12);
  CHECK(losses.back() < losses.front() - 0.5);

  auto again = config;
  again.train.output = folder / "resumed";
  again.train.resume = Resume::kPath;
  again.train.resume_path = config.train.output + "/" + checkpoint_name(6);
  TinyRun resumed(again);
  CHECK(resumed.trainer->step() == 6);
  resumed.trainer->train();
  CHECK(same_bits(trained_of(resumed.model), trained_of(straight.model)));

  // Another precision of the base is another run.
  again.model.base_precision = BasePrecision::kAuto;
  again.train.output = folder / "changed";
  CHECK_CONTAINS(user_error_of([&] { TinyRun run(again); }),
                 std::string("model.base_precision is ") +
                     (precision == BasePrecision::kFp8 ? "fp8" : "nf4") + " there and auto here");
}

TEST_CASE("An adapter of every weight is refused on a quantised base", "[weights]") {
  const TemporaryFolder folder;
  auto config = config_on_base(folder);
  auto whole = config;
  whole.model.base_precision = BasePrecision::kAuto;
  whole.tune = TuneConfig();
  whole.tune.all = 1e-3;
  whole.train.steps = 1;
  TinyRun(whole).trainer->train();
  config.model.adapter = whole.train.output + "/" + checkpoint_name(1);
  const auto line = user_error_of([&] { prepare_model(config, torch::kCPU); });
  CHECK_CONTAINS(line, "holds every weight of a tuned base");
  CHECK_CONTAINS(line, "lococo-export");
}

}  // namespace lococo::testing
