#include "train/checkpoint.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "model/conv_weights.h"
#include "model/hf_weights.h"
#include "model/lora_adapter.h"
#include "tensor/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"
#include "train/optimizer.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kBase = "0123456789abcdef";
constexpr uint64_t kBaseSeed = 3;

TuneConfig tune_parts() {
  TuneConfig tune;
  tune.conv = 1e-2;
  tune.lora = 1e-2;
  tune.embed = 1e-2;
  tune.norm = 1e-2;
  return tune;
}

TuneConfig tune_everything() {
  TuneConfig tune;
  tune.conv = 1e-2;
  tune.all = 1e-2;
  return tune;
}

/// A model under training: frozen weights in bfloat16, one LoRA where tuned, an AdamW.
struct Run {
  explicit Run(const TuneConfig& tune = tune_parts(), const CacheConfig& cache = tiny_cache(),
               const std::string& adapter = "")
      : model(tiny_llama(kBaseSeed, cache)), adapter_path(adapter) {
    if (!adapter.empty()) load_trained(adapter, model, kBase);
    if (adapter.empty() && tune.lora) model->add_lora(2, 6.0, {"q_proj", "v_proj"}, 5);
    registry = std::make_unique<ParameterRegistry>(model, tune, 0.01, torch::kBFloat16);
    optimizer = std::make_unique<AdamW>(registry->trainable(), TrainConfig{});
  }

  /// One optimizer step on a sequence of four blocks that depends on the step's number only.
  void train_step() {
    const auto tokens = random_tokens(1, 32, 100 + static_cast<uint64_t>(step));
    optimizer->zero_grad();
    std::vector<CacheState> caches = model->empty_caches();
    for (const BlockStep& block : make_step_plan(model->cache_config(), tokens.size(1))) {
      const auto hidden =
          model->forward_block(tokens.slice(1, block.begin, block.end), block, caches);
      const auto logits = at::linear(hidden, model->head_weight().to(hidden.scalar_type()));
      const auto loss = logits.to(torch::kFloat32).log_softmax(-1).select(-1, 7).mean();
      if (loss.requires_grad()) loss.backward();  // convs get none before a compression
    }
    optimizer->step(1.0);
    ++step;
  }

  std::string save(const std::string& output, int64_t keep_last = 2) {
    CheckpointConfig config;
    config.keep_last = keep_last;
    CheckpointState state;
    state.step = step;
    state.tokens_seen = step * 32;
    state.base_fingerprint = kBase;
    state.adapter_path = adapter_path;
    state.config_yaml = "train:\n  seed: 1\n";
    state.git_revision = "abc";
    state.threads = 2;
    state.world_size = 3;
    return save_checkpoint(output, config, state, model, *registry, optimizer->state());
  }

  CheckpointState load(const std::string& dir, const std::string& base = kBase) {
    TensorMap loaded;
    const CheckpointState state = load_checkpoint(dir, model, *registry, base, &loaded);
    optimizer->load_state(loaded);
    step = state.step;
    return state;
  }

  TensorMap everything() {
    TensorMap all = snapshot(model);
    for (const auto& [name, tensor] : optimizer->state()) all["optimizer." + name] = tensor.clone();
    return all;
  }

  Llama model;
  std::string adapter_path;
  std::unique_ptr<ParameterRegistry> registry;
  std::unique_ptr<AdamW> optimizer;
  int64_t step = 0;
};

void flip_byte(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-1, std::ios::end);
  const char last = static_cast<char>(file.get());
  file.seekp(-1, std::ios::end);
  file.put(static_cast<char>(last ^ 1));
}

std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("Training, saving and resuming equals training without a break, bit for bit", "[train]") {
  const TuneConfig tune = GENERATE(tune_parts(), tune_everything());
  TemporaryFolder folder;
  Run straight(tune);
  for (int i = 0; i < 4; ++i) straight.train_step();

  Run first(tune);
  for (int i = 0; i < 2; ++i) first.train_step();
  const std::string dir = first.save(folder.path());
  CHECK(dir == folder / "step-00000002");
  Run resumed(tune);
  REQUIRE_FALSE(same_bits(first.everything(), resumed.everything()));
  const CheckpointState state = resumed.load(dir);
  CHECK(same_bits(first.everything(), resumed.everything()));
  for (int i = 0; i < 2; ++i) resumed.train_step();
  CHECK(same_bits(straight.everything(), resumed.everything()));

  CHECK(state.step == 2);
  CHECK(state.tokens_seen == 64);
  CHECK(state.config_yaml == "train:\n  seed: 1\n");
  CHECK(state.git_revision == "abc");
  CHECK(state.threads == 2);
  CHECK(state.world_size == 3);
}

TEST_CASE("A checkpoint holds the files that its trained parts need", "[train]") {
  TemporaryFolder folder;
  const std::vector<std::string> always = {"config.yaml", "optimizer.safetensors", "state.json"};
  const auto files_of = [&](const TuneConfig& tune, const CacheConfig& cache) {
    Run run(tune, cache);
    return names_in(run.save(folder.path()));
  };
  const auto with = [&](std::vector<std::string> names) {
    names.insert(names.end(), always.begin(), always.end());
    std::sort(names.begin(), names.end());
    return names;
  };
  TuneConfig conv_only;
  conv_only.conv = 1e-2;
  TuneConfig norm_only;
  norm_only.norm = 1e-2;
  CHECK(files_of(conv_only, tiny_cache()) == with({"lococo.safetensors", "lococo_config.json"}));
  CHECK(files_of(norm_only, {}) == with({"adapter_config.json", "adapter_model.safetensors"}));
  CHECK(files_of(tune_parts(), tiny_cache()) ==
        with({"adapter_config.json", "adapter_model.safetensors", "lococo.safetensors",
              "lococo_config.json"}));
  CHECK(files_of(tune_everything(), tiny_cache()) ==
        with({"config.json", "lococo.safetensors", "lococo_config.json", "model.safetensors"}));
}

TEST_CASE("A damaged checkpoint is never taken; the newest good one is", "[train]") {
  TemporaryFolder folder;
  const std::string output = folder.path();
  CHECK_FALSE(newest_good_checkpoint(output + "/nothing"));
  CHECK_FALSE(newest_good_checkpoint(output));
  Run run;
  run.train_step();
  const std::string good = run.save(output);
  run.train_step();
  const std::string newest = run.save(output);
  REQUIRE(newest_good_checkpoint(output) == newest);

  std::string told;
  SECTION("a file is cut off") {
    fs::resize_file(newest + "/optimizer.safetensors", 100);
    told = "optimizer.safetensors is 100 bytes long instead of ";
  }
  SECTION("a file is missing") {
    fs::remove(newest + "/lococo.safetensors");
    told = "lococo.safetensors is missing";
  }
  SECTION("a bit has changed") {
    flip_byte(newest + "/adapter_model.safetensors");
    told = "the content of adapter_model.safetensors has changed";
  }
  SECTION("state.json is cut off") {
    fs::resize_file(newest + "/state.json", 50);
    told = "state.json: is not JSON";
  }
  SECTION("state.json is of another format") {
    Json state = Json::parse(read_text_file(newest + "/state.json"));
    state["format"] = 99;
    write_text_file(newest + "/state.json", state.dump());
    told = "has format 99";
  }
  SECTION("state.json lacks a field") {
    Json state = Json::parse(read_text_file(newest + "/state.json"));
    state.erase("trainable");
    write_text_file(newest + "/state.json", state.dump());
    told = "is incomplete";
  }
  SECTION("state.json lists no files") {
    Json state = Json::parse(read_text_file(newest + "/state.json"));
    state.erase("files");
    write_text_file(newest + "/state.json", state.dump());
    told = "lists no files";
  }
  SECTION("it was never completed") {
    fs::remove(newest + "/state.json");
    told = "it has no state.json";
  }
  CHECK(newest_good_checkpoint(output) == good);
  Run other;
  const TensorMap before = other.everything();
  CHECK_CONTAINS(user_error_of([&] { other.load(newest); }), told);
  CHECK(same_bits(before, other.everything()));
}

TEST_CASE("Folders that are no checkpoints are neither taken nor removed", "[train]") {
  TemporaryFolder folder;
  Run run;
  run.step = 3;
  const std::string real = run.save(folder.path());
  for (const char* name : {".tmp-step-00000009", "step-9", "step-00000008x", "export"}) {
    fs::copy(real, folder / name, fs::copy_options::recursive);
  }
  folder.make("step-00000007");  // the right name, but no state.json
  CHECK(newest_good_checkpoint(folder.path()) == real);
  run.step = 10;
  const std::string newest = run.save(folder.path(), /*keep_last=*/1);
  CHECK(newest_good_checkpoint(folder.path()) == newest);
  CHECK_FALSE(fs::exists(real));
  for (const char* name : {"step-9", "step-00000008x", "export", "step-00000007"}) {
    CHECK(fs::exists(folder / name));
  }
}

TEST_CASE("Only the last checkpoints are kept, and none newer than this run's is removed",
          "[train]") {
  TemporaryFolder folder;
  Run run;
  for (const int64_t step : {10, 20, 30, 40}) {
    run.step = step;
    run.save(folder.path(), /*keep_last=*/2);
  }
  CHECK(names_in(folder.path()) == std::vector<std::string>{"step-00000030", "step-00000040"});
  run.step = 35;
  run.save(folder.path(), /*keep_last=*/1);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"step-00000035", "step-00000040"});
}

TEST_CASE("Saving a step again replaces its folder", "[train]") {
  TemporaryFolder folder;
  Run run;
  run.step = 5;
  const std::string dir = run.save(folder.path());
  perturb(run.model, "lora_B", 0.1, 1);
  CHECK(run.save(folder.path()) == dir);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"step-00000005"});
  Run loaded;
  loaded.load(dir);
  CHECK(same_bits(run.everything(), loaded.everything()));
}

TEST_CASE("A full disk leaves the older checkpoint good and nothing half-written", "[train]") {
  TemporaryFolder folder;
  Run run;
  run.train_step();
  const std::string good = run.save(folder.path());
  run.train_step();

  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 2000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string line;
  try {
    run.save(folder.path(), /*keep_last=*/1);
  } catch (const UserError& error) {
    line = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);

  CHECK_CONTAINS(line, "cannot write");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"step-00000001"});
  CHECK(newest_good_checkpoint(folder.path()) == good);
  CHECK(run.save(folder.path()) == folder / "step-00000002");  // with room again it goes on
}

TEST_CASE("What a killed run left half-written does not disturb the next save", "[train]") {
  TemporaryFolder folder;
  write_text_file(folder.make(".tmp-step-00000004") + "/model.safetensors", "half");
  Run run;
  run.step = 4;
  const std::string dir = run.save(folder.path());
  CHECK(names_in(folder.path()) == std::vector<std::string>{"step-00000004"});
  CHECK_FALSE(fs::exists(dir + "/model.safetensors"));
}

TEST_CASE("A checkpoint is refused on another base, training or cache", "[train]") {
  TemporaryFolder folder;
  Run run;
  const std::string dir = run.save(folder.path());
  SECTION("base") {
    Run other;
    const std::string line = user_error_of([&] { other.load(dir, "ffffffffffffffff"); });
    CHECK_CONTAINS(line, "another base model");
    CHECK_CONTAINS(line, kBase);
    CHECK_CONTAINS(user_error_of([&] { load_trained(dir, other.model, "ffffffffffffffff"); }),
                   "another base model");
  }
  SECTION("trains less") {
    TuneConfig tune = tune_parts();
    tune.norm.reset();
    Run other(tune);
    const std::string line = user_error_of([&] { other.load(dir); });
    CHECK_CONTAINS(line, "the checkpoint trains ");
    CHECK_CONTAINS(line, "norm.weight, this run does not");
  }
  SECTION("trains more") {
    TuneConfig tune = tune_parts();
    tune.norm.reset();
    Run less(tune);
    less.step = 1;
    const std::string small = less.save(folder.path());
    CHECK_CONTAINS(user_error_of([&] { run.load(small); }), "this run trains ");
  }
  SECTION("cache") {
    CacheConfig cache = tiny_cache();
    cache.scores = ScoreKind::kAccumulated;
    Run other(tune_parts(), cache);
    CHECK_CONTAINS(user_error_of([&] { other.load(dir); }), "cache.scores");
  }
}

TEST_CASE("What was tuned loads without an optimizer, from each kind of folder", "[train]") {
  TemporaryFolder folder;
  Run run;
  run.train_step();
  const std::string dir = run.save(folder.path());
  const auto tuned = [&](const std::string& from, const CacheConfig& cache = tiny_cache()) {
    Llama model = tiny_llama(kBaseSeed, cache);
    load_trained(from, model, kBase);
    return snapshot(model);
  };
  const TensorMap want = snapshot(run.model);
  // Frozen weights of the run are bfloat16 here, those of the fresh model float32.
  const auto check_group = [&](const TensorMap& got, const std::string& part, bool equal) {
    for (const auto& [name, tensor] : want) {
      if (name.find(part) == std::string::npos) continue;
      INFO(name);
      CHECK((got.count(name) > 0 && torch::equal(got.at(name), tensor)) == equal);
    }
  };
  SECTION("a checkpoint") {
    const TensorMap got = tuned(dir);
    CHECK(got.size() == want.size());
    for (const char* part : {"lora_", "memory_saver", "norm.weight", "embed_tokens"}) {
      check_group(got, part, true);
    }
  }
  SECTION("a checkpoint for another cache policy: without the convs") {
    CacheConfig cache = tiny_cache();
    cache.policy = CachePolicyKind::kH2o;
    const TensorMap got = tuned(dir, cache);
    check_group(got, "lora_", true);
    CHECK(got.size() == want.size() - 6);
  }
  SECTION("an adapter folder") {
    const std::string adapter = folder.make("adapter");
    save_adapter(run.model, adapter, {"model.norm.weight"}, {"", kBase});
    const TensorMap got = tuned(adapter);
    check_group(got, "lora_", true);
    check_group(got, "memory_saver.layers", false);
    CHECK_CONTAINS(user_error_of([&] {
                     Llama model = tiny_llama(kBaseSeed);
                     load_trained(adapter, model, "ffffffffffffffff");
                   }),
                   "another base model");
  }
  SECTION("a conv folder") {
    const std::string conv = folder.make("conv");
    save_conv_weights(run.model, conv, kBase);
    const TensorMap got = tuned(conv);
    check_group(got, "memory_saver", true);
    check_group(got, "model.embed_tokens", false);
    CHECK_CONTAINS(user_error_of([&] {
                     Llama model = tiny_llama(kBaseSeed, tiny_cache());
                     load_trained(conv, model, "ffffffffffffffff");
                   }),
                   "another base model");
  }
  SECTION("nothing") {
    CHECK_CONTAINS(user_error_of([&] { tuned(folder.make("empty")); }), "model.adapter");
    CHECK_CONTAINS(user_error_of([&] { tuned(folder / "nowhere"); }), "there is no such folder");
  }
  SECTION("a damaged checkpoint") {
    flip_byte(dir + "/lococo.safetensors");
    CHECK_CONTAINS(user_error_of([&] { tuned(dir); }), "is a damaged checkpoint");
  }
}

TEST_CASE("A checkpoint carries on what its run's own adapter had replaced", "[train]") {
  TemporaryFolder folder;
  Run first;
  first.train_step();
  const std::string stage_one = first.save(folder.make("one"));
  TuneConfig conv_only;
  conv_only.conv = 1e-2;
  Run second(conv_only, tiny_cache(), stage_one);
  second.train_step();
  const std::string stage_two = second.save(folder.make("two"));

  Llama loaded = tiny_llama(kBaseSeed, tiny_cache());
  load_trained(stage_two, loaded, kBase);
  for (const auto& [name, tensor] : snapshot(loaded)) {
    INFO(name);  // the second stage holds what it does not train in bfloat16
    CHECK(torch::equal(tensor.to(torch::kBFloat16),
                       snapshot(second.model).at(name).to(torch::kBFloat16)));
  }
}

}  // namespace lococo::testing
