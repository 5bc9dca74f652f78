#include "weights/export.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hf_config.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"
#include "weights/checkpoint.h"
#include "weights/hf_weights.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kBase = "0123456789abcdef";

CacheConfig exported_cache() {
  CacheConfig cache = tiny_cache();
  cache.keys = KeyKind::kRotated;
  cache.buffer = 16;
  return cache;
}

/// A base folder with a tokenizer, a checkpoint tuned on it, and the model that lococo-export
/// loads.
struct Tuned {
  explicit Tuned(bool with_lora = true, const CacheConfig& cache = exported_cache(),
                 bool whole = false)
      : model(tiny_llama(3, cache)) {
    base = folder.make("base");
    save_hf_model(model, base, DType::kFloat32, int64_t{1} << 30);
    TuneConfig tune;
    if (with_lora) {
      model->add_lora(2, 6.0, {"q_proj", "up_proj"}, 5);
      tune.lora = 1e-3;
      tune.embed = 1e-3;
      tune.norm = 1e-3;
      for (const char* part : {"lora_B", "embed_tokens", "norm.weight"}) {
        perturb(model, part, 0.2, 6);
      }
    }
    if (whole) tune.all = 1e-3;
    tune.conv = 1e-3;
    perturb(model, "memory_saver", 0.2, 7);
    const ParameterRegistry registry(model, tune, 0.0, torch::kFloat32);
    CheckpointState state;
    state.base_fingerprint = kBase;
    checkpoint = save_checkpoint(folder / "run", {}, state, model, registry, {});
  }
  void run(ExportKind kind, DType dtype = DType::kFloat32) {
    ExportConfig config;
    config.kind = kind;
    config.output = output();
    config.dtype = dtype;
    export_model(config, {base, kBase, checkpoint, companions}, model);
  }
  std::string output() const { return folder / "made/exported"; }
  std::string error_of(ExportKind kind) {
    const std::string line = user_error_of([&] { run(kind); });
    CHECK_FALSE(fs::exists(output()));
    CHECK((!fs::exists(folder / "made") || fs::is_empty(folder / "made")));
    return line;
  }
  TemporaryFolder folder;
  std::string base, checkpoint;
  std::vector<CompanionFile> companions = {{"tokenizer.json", "tokens"}};
  Llama model;
};

}  // namespace

TEST_CASE("A merged export is a Hugging Face model that computes what was tuned", "[weights]") {
  Tuned tuned;
  tuned.run(ExportKind::kMerged);
  const ModelShape shape = read_hf_config(tuned.output());
  CHECK(shape.rope_scaling.type == RopeType::kLinear);
  CHECK(shape.rope_scaling.factor == 2.0);
  Llama loaded = tiny_llama(9, {}, shape);
  load_hf_weights(loaded, tuned.output());
  const torch::NoGradGuard no_grad;
  const auto tokens = random_tokens(2, 24, 8);
  CHECK(torch::allclose(loaded->forward(tokens), tuned.model->forward(tokens), 1e-4, 1e-5));
}

TEST_CASE("An export's folder may be named with a slash behind it", "[weights]") {
  for (const char* behind : {"/", "//", "/.", "/./"}) {
    Tuned tuned;
    ExportConfig config;
    config.kind = ExportKind::kConv;
    config.output = tuned.output() + behind;
    export_model(config, {tuned.base, kBase, tuned.checkpoint, {}}, tuned.model);
    CHECK(fs::exists(tuned.output() + "/lococo_config.json"));
    CHECK(std::distance(fs::directory_iterator(tuned.folder / "made"), {}) == 1);
    CHECK_CONTAINS(user_error_of([&] { check_export_output(config); }), "exists already");
  }
}

TEST_CASE("A merged export in bfloat16 holds bfloat16", "[weights]") {
  Tuned tuned;
  tuned.run(ExportKind::kMerged, DType::kBFloat16);
  for (const auto& [name, tensor] : read_tensors(tuned.output() + "/model.safetensors")) {
    CHECK(tensor.scalar_type() == torch::kBFloat16);
  }
}

TEST_CASE("An exported adapter brings back LoRA, embedding and norms, and the RoPE scaling",
          "[weights]") {
  Tuned tuned;
  tuned.run(ExportKind::kAdapter);
  CHECK(read_hf_config(tuned.output()).rope_scaling.factor == 2.0);
  CHECK_CONTAINS(read_text_file(tuned.output() + "/adapter_config.json"), tuned.base);
  Llama loaded = tiny_llama(3);
  load_trained(tuned.output(), loaded, kBase);
  const TensorMap want = snapshot(tuned.model);
  const TensorMap got = snapshot(loaded);
  for (const auto& [name, tensor] : got) {
    INFO(name);
    CHECK(torch::equal(tensor, want.at(name)));
  }
  CHECK(got.size() == want.size() - 6);  // without the convs of two layers
}

TEST_CASE("Exported conv weights give the same evaluation again, under either naming",
          "[weights]") {
  const auto kind = GENERATE(ExportKind::kConv, ExportKind::kOfficialConv);
  Tuned tuned(/*with_lora=*/false);
  tuned.run(kind);
  const bool ours = kind == ExportKind::kConv;
  CHECK(fs::exists(tuned.output() + "/lococo_config.json") == ours);
  CHECK(fs::exists(tuned.output() + "/lococo_args.json") == !ours);
  Llama loaded = tiny_llama(3, exported_cache());
  const auto tokens = random_tokens(1, 64, 8);
  const auto want = blockwise_hidden(tuned.model, tokens);
  CHECK_FALSE(torch::equal(blockwise_hidden(loaded, tokens), want));
  load_trained(tuned.output(), loaded, kBase);
  CHECK(torch::equal(blockwise_hidden(loaded, tokens), want));
}

TEST_CASE("What cannot be exported is refused and leaves nothing behind", "[weights]") {
  SECTION("an adapter of a run that tuned convs only") {
    Tuned tuned(/*with_lora=*/false);
    CHECK_CONTAINS(tuned.error_of(ExportKind::kAdapter),
                   tuned.checkpoint + " has none but convolutions; use export.kind: conv");
  }
  SECTION("an adapter of a run that tuned everything") {
    Tuned tuned(/*with_lora=*/false, exported_cache(), /*whole=*/true);
    CHECK_CONTAINS(tuned.error_of(ExportKind::kAdapter),
                   tuned.checkpoint + " has none but every weight tuned; use export.kind: merged");
  }
  SECTION("convs of a model without them") {
    Tuned tuned(true, CacheConfig{});
    CHECK_CONTAINS(tuned.error_of(ExportKind::kConv),
                   tuned.checkpoint + " has none but LoRA; use export.kind: adapter");
    CHECK_CONTAINS(Tuned(false, CacheConfig{}, true).error_of(ExportKind::kOfficialConv),
                   "every weight tuned; use export.kind: merged");
    CHECK_CONTAINS(user_error_of([&] {
                     check_export_kind({ExportKind::kConv, "out"}, CacheConfig{}, "");
                   }),
                   "set model.adapter");
    const Tuned with_convs;
    CHECK_CONTAINS(
        user_error_of([&] {
          check_export_kind({ExportKind::kConv, "out"}, CacheConfig{}, with_convs.checkpoint);
        }),
        "leaves out the convolutions of " + with_convs.checkpoint + "; remove cache.policy");
    CHECK_NOTHROW(check_export_kind({ExportKind::kConv, "out"}, CacheConfig{}, "nowhere"));
  }
  SECTION("nothing that was tuned, or another part of it") {
    const auto refusal = [](ExportKind kind, const std::string& adapter) {
      return user_error_of([&] { check_export_kind({kind, "out"}, tiny_cache(), adapter); });
    };
    CHECK_CONTAINS(refusal(ExportKind::kConv, ""), "set model.adapter");
    CHECK_CONTAINS(refusal(ExportKind::kOfficialConv, ""), "set model.adapter");
    CHECK_CONTAINS(refusal(ExportKind::kAdapter, ""), "set model.adapter");
    CHECK_CONTAINS(refusal(ExportKind::kConv, Tuned(true, CacheConfig{}).checkpoint), "but LoRA");
    const TemporaryFolder empty;
    for (const ExportKind kind : {ExportKind::kConv, ExportKind::kAdapter})
      CHECK_CONTAINS(refusal(kind, empty.path()), empty.path() + " has none; set model.adapter");
    CHECK_CONTAINS(refusal(ExportKind::kOfficialConv, Tuned().checkpoint), "cache.");
    CHECK_NOTHROW(check_export_kind({ExportKind::kMerged, "out"}, tiny_cache(), ""));
  }
  SECTION("a folder that cannot be made") {
    const Tuned tuned;
    ExportConfig config;
    config.output = tuned.base + "/config.json/out";
    CHECK_CONTAINS(user_error_of([&] { check_export_output(config); }), "cannot create the folder");
    const TemporaryFolder folder;
    config.output = folder / "link/";
    fs::create_directory_symlink(folder / "none", folder / "link");
    CHECK_CONTAINS(user_error_of([&] { check_export_output(config); }), "is a symbolic link to");
  }
  SECTION("official arguments of options that the official code lacks") {
    CHECK_CONTAINS(Tuned(true, tiny_cache()).error_of(ExportKind::kOfficialConv), "cache.");
  }
  SECTION("no name") {
    Tuned tuned;
    CHECK_CONTAINS(user_error_of([&] {
                     export_model(ExportConfig{}, {tuned.base, kBase, ""}, tuned.model);
                   }),
                   "export.output");
  }
}

TEST_CASE("What an export of convolutions leaves out is told, under either naming", "[weights]") {
  const auto kind = GENERATE(ExportKind::kConv, ExportKind::kOfficialConv);
  const std::string told = "the LoRA that was tuned with it is not in it";
  Tuned with_lora, without(/*with_lora=*/false);
  const std::string log = stderr_of([&] { with_lora.run(kind); });
  CHECK_CONTAINS(log, told);
  CHECK(stderr_of([&] { without.run(kind); }).find(told) == std::string::npos);
}

TEST_CASE("An existing folder is not overwritten", "[weights]") {
  Tuned tuned;
  tuned.run(ExportKind::kMerged);
  const auto before = fs::last_write_time(tuned.output() + "/model.safetensors");
  CHECK_CONTAINS(user_error_of([&] { tuned.run(ExportKind::kAdapter); }), "exists already");
  CHECK(fs::last_write_time(tuned.output() + "/model.safetensors") == before);
  CHECK_FALSE(fs::exists(tuned.output() + "/adapter_config.json"));
}

TEST_CASE("A merged export keeps what the base's config.json says besides ours", "[weights]") {
  Tuned tuned;
  Json base = Json::parse(read_text_file(tuned.base + "/config.json"));
  base["pad_token_id"] = 0;
  base["eos_token_id"] = {2, 7};
  base["initializer_range"] = 0.041666666666666664;
  base["transformers.js_config"] = {{"dtype", {{"fp16", "x"}}}};
  base["torch_dtype"] = "bfloat16";
  base.erase("use_cache");
  write_text_file(tuned.base + "/config.json", base.dump());
  tuned.run(ExportKind::kMerged);
  const Json merged = Json::parse(read_text_file(tuned.output() + "/config.json"));
  for (const char* key :
       {"pad_token_id", "eos_token_id", "initializer_range", "transformers.js_config"})
    CHECK(merged[key] == base[key]);
  CHECK(merged["torch_dtype"] == "float32");
  CHECK(merged["dtype"] == "float32");
  CHECK(merged["use_cache"] == true);
  CHECK(merged["rope_scaling"] == Json({{"type", "linear"}, {"factor", 2.0}}));
}

TEST_CASE("A tokenizer comes beside a model and an adapter, and its absence is told", "[weights]") {
  const auto kind = GENERATE(ExportKind::kMerged, ExportKind::kAdapter);
  Tuned tuned;
  const std::string warning = ": holds no tokenizer";
  SECTION("one that the base has") {
    CHECK(stderr_of([&] { tuned.run(kind); }).find(warning) == std::string::npos);
    CHECK(read_text_file(tuned.output() + "/tokenizer.json") == "tokens");
  }
  SECTION("none, but its config") {
    tuned.companions = {{"tokenizer_config.json", "{}"}};
    const std::string log = stderr_of([&] { tuned.run(kind); });
    CHECK_CONTAINS(log, tuned.base + warning);
    CHECK(read_text_file(tuned.output() + "/tokenizer_config.json") == "{}");
  }
}

}  // namespace lococo::testing
