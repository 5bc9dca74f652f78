#include <filesystem>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/checkpointed_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"
#include "weights/checkpoint.h"
#include "weights/conv_weights.h"
#include "weights/lora_adapter.h"

namespace lococo::testing {

TEST_CASE("Training, saving and resuming equals training without a break, bit for bit",
          "[weights]") {
  const TuneConfig tune = GENERATE(tune_parts(), tune_everything());
  TemporaryFolder folder;
  CheckpointedRun straight(tune);
  for (int i = 0; i < 4; ++i) straight.train_step();

  CheckpointedRun first(tune);
  for (int i = 0; i < 2; ++i) first.train_step();
  const std::string dir = first.save(folder.path());
  CHECK(dir == folder / "step-00000002");
  CheckpointedRun resumed(tune);
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

TEST_CASE("What was tuned loads without an optimizer, from each kind of folder", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  run.train_step();
  const std::string dir = run.save(folder.path());
  const auto tuned = [&](const std::string& from, const CacheConfig& cache = tiny_cache()) {
    Llama model = tiny_llama(kBaseSeed, cache);
    load_trained(from, model, kBaseFingerprint);
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
    save_adapter(run.model, adapter, {"model.norm.weight"}, {"", kBaseFingerprint});
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
    save_conv_weights(run.model, conv, kBaseFingerprint);
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
    flip_last_bit(dir + "/lococo.safetensors");
    CHECK_CONTAINS(user_error_of([&] { tuned(dir); }), "is a damaged checkpoint");
  }
  SECTION("a checkpoint without its optimizer's state, which only a resume needs") {
    const TensorMap whole = tuned(dir);
    std::filesystem::remove(dir + "/optimizer.safetensors");
    CHECK(same_bits(tuned(dir), whole));
    const std::string output = std::filesystem::path(dir).parent_path().string();
    CHECK(newest_good_checkpoint(output, CheckpointUse::kWeights) == dir);
    CHECK_CONTAINS(user_error_of([&] { newest_good_checkpoint(output); }), "is damaged");
    CHECK_CONTAINS(user_error_of([&] { run.load(dir); }), "optimizer.safetensors is missing");
  }
}

TEST_CASE("A checkpoint carries on what its run's own adapter had replaced", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun first;
  first.train_step();
  const std::string stage_one = first.save(folder.make("one"));
  TuneConfig conv_only;
  conv_only.conv = 1e-2;
  CheckpointedRun second(conv_only, tiny_cache(), stage_one);
  second.train_step();
  const std::string stage_two = second.save(folder.make("two"));

  Llama loaded = tiny_llama(kBaseSeed, tiny_cache());
  load_trained(stage_two, loaded, kBaseFingerprint);
  for (const auto& [name, tensor] : snapshot(loaded)) {
    INFO(name);  // the second stage holds what it does not train in bfloat16
    CHECK(torch::equal(tensor.to(torch::kBFloat16),
                       snapshot(second.model).at(name).to(torch::kBFloat16)));
  }
}

}  // namespace lococo::testing
