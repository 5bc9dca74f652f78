#include "setup/complete_config.h"

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "config/config_yaml.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_base.h"
#include "tests/support/user_error.h"
#include "weights/checkpoint_files.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

/// A run folder with checkpoints of steps 1 and 2: convolutions and LoRA of rank 3.
struct TunedRun {
  TunedRun() {
    Config config = config_on(write_base(folder.make("base")));
    config.cache.mass_channel = true;
    config.cache.sinks = 1;
    config.cache.bptt_blocks = 2;
    config.tune.conv = 1e-3;
    config.tune.lora = 1e-3;
    config.tune.lora_rank = 3;
    config.tune.lora_alpha = 12.0;
    config.tune.lora_targets = {"v_proj"};
    run = folder / "run";
    older = write_checkpoint(config, run, 1);
    newest = write_checkpoint(config, run, 2);
  }
  Config read(const std::string& adapter, const std::string& more = "") const {
    return parse_config("model: {path: " + folder.path() + "/base, adapter: " + adapter +
                            "}\nlog: {level: error}\n" + more,
                        "x.yaml", {}, complete_config);
  }
  TemporaryFolder folder;
  std::string run, older, newest;
};

}  // namespace

TEST_CASE("An adapter brings the cache options that are not given", "[setup]") {
  const TunedRun tuned;
  const Config config = tuned.read(tuned.newest);
  CHECK(config.cache.policy == CachePolicyKind::kLococo);
  CHECK(config.cache.slots == 8);
  CHECK(config.cache.block == 8);
  CHECK(config.cache.buffer == 0);
  CHECK(config.cache.sinks == 1);
  CHECK(config.cache.kernel_size == 3);
  CHECK(config.cache.mass_channel);
  CHECK(config.cache.keys == KeyKind::kUnrotated);
  CHECK(config.cache.bptt_blocks == 1);  // how a run trains is its own
}

TEST_CASE("What the config gives stays, and the whole is checked afterwards", "[setup]") {
  const TunedRun tuned;
  const Config config =
      tuned.read(tuned.newest, "cache: {policy: h2o, slots: 32}\ntune: {lora: 1e-3}\n");
  CHECK(config.cache.policy == CachePolicyKind::kH2o);
  CHECK(config.cache.slots == 32);
  CHECK(config.cache.block == 8);
  // The policy that tune.conv needs comes from the adapter.
  CHECK(tuned.read(tuned.newest, "tune: {conv: 1e-3}\n").tune.conv == 1e-3);
  CHECK_CONTAINS(user_error_of([&] { tuned.read(tuned.newest, "cache: {local: 4}\n"); }),
                 "cache.local: 1 sinks and 4 newest tokens do not fit");
}

TEST_CASE("A training's config serves to read with a cache that it is not taught for", "[setup]") {
  const TemporaryFolder folder;
  write_base(folder.make("base"));
  const std::string config = "model: {path: " + folder.path() +
                             "/base}\nlog: {level: error}\ntune: {retention: 1e-3}\n"
                             "cache: {policy: retention, keys: unrotated, slots: 16, block: 8, "
                             "buffer: 0, sinks: 1, local: 4, score_distance: 4, "
                             "scores: accumulated}\nteach: {slots: [16]}\n"
                             "data: {train: x, context_length: 64}\n";
  const auto read = [&](const std::string& more, const ConfigCompletion& complete) {
    return parse_config(config, "x.yaml", {more}, complete);
  };
  const std::string mixing = "cache.mixing=similarity", none = "cache.policy=none";
  CHECK_CONTAINS(user_error_of([&] { read(mixing, complete_config); }), "cache.mixing");
  CHECK_CONTAINS(user_error_of([&] { read(none, complete_config); }), "tune.retention");
  CHECK(read(mixing, complete_config_for_reading).cache.mixing == MixingKind::kSimilarity);
  CHECK(read(none, complete_config_for_reading).cache.policy == CachePolicyKind::kNone);
  CHECK(read("train.pass=teach", complete_config_for_reading).train.pass == PassKind::kAuto);
}

TEST_CASE("An adapter brings the scaling of positions that it was tuned with", "[setup]") {
  TemporaryFolder folder;
  Config tuned = config_on(write_base(folder.make("base")));
  tuned.cache.policy = CachePolicyKind::kNone;
  tuned.tune = {};
  tuned.tune.lora = 1e-3;
  tuned.model.interpolate_to = 512;
  const std::string adapter = write_checkpoint(tuned, folder / "run", 1);
  const auto read = [&](const std::string& more) {
    return parse_config("model: {path: " + folder.path() + "/base, adapter: " + adapter + "}\n" +
                            "log: {level: error}\n",
                        "x.yaml", {more}, complete_config);
  };
  CHECK(read("train.seed=1").model.interpolate_to == 512);
  CHECK(read("model.interpolate_to=256").model.interpolate_to == 256);
  const Config scaled = read("model.rope_scaling={type: linear, factor: 2}");
  CHECK(scaled.model.interpolate_to == 0);
  CHECK(scaled.model.rope_scaling->factor == 2.0);
  CHECK(read("cache={policy: h2o, keys: unrotated}").model.interpolate_to == 0);
  write_text_file(adapter + "/config.yaml", "an option of another version: 1\n");
  CHECK(read("train.seed=1").model.interpolate_to == 0);  // with a warning
}

TEST_CASE("An exported adapter brings the scaling of the config.json beside it", "[setup]") {
  TemporaryFolder folder;
  const std::string base = write_base(folder.make("base")), exported = folder.make("exported");
  write_text_file(exported + "/adapter_config.json", "{}");
  const auto read = [&](const std::string& more) {
    return parse_config(
        "model: {path: " + base + ", adapter: " + exported + "}\nlog: {level: error}\n", "x.yaml",
        {more}, complete_config);
  };
  CHECK_FALSE(read("train.seed=1").model.rope_scaling);  // there is no config.json
  auto shape = nlohmann::json::parse(read_text_file(base + "/config.json"));
  write_text_file(exported + "/config.json", shape.dump());
  CHECK_FALSE(read("train.seed=1").model.rope_scaling);  // the base's own
  shape["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  write_text_file(exported + "/config.json", shape.dump());
  const auto taken = read("train.seed=1").model.rope_scaling;
  REQUIRE(taken);
  CHECK(taken->factor == 4.0);
  CHECK(read("model.rope_scaling={type: linear, factor: 2}").model.rope_scaling->factor == 2.0);
  CHECK_FALSE(read("cache={policy: h2o, keys: unrotated}").model.rope_scaling);
}

TEST_CASE("Another scaling of positions than the adapter's is given with a warning", "[setup]") {
  TemporaryFolder folder;
  const std::string base = write_base(folder.make("base")), exported = folder.make("exported");
  auto shape = nlohmann::json::parse(read_text_file(base + "/config.json"));
  shape["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  write_text_file(exported + "/adapter_config.json", "{}");
  write_text_file(exported + "/config.json", shape.dump());
  const auto told = [&](const std::string& more) {
    return stderr_of([&] {
      parse_config("model: {path: " + base + ", adapter: " + exported + "}\n", "x.yaml", {more},
                   complete_config);
    });
  };
  const std::string warning = "was tuned with another scaling of positions than the config gives";
  CHECK_CONTAINS(told("model.rope_scaling={type: linear, factor: 2}"), warning);
  CHECK(told("model.rope_scaling={type: linear, factor: 4}").find(warning) == std::string::npos);
}

TEST_CASE("What mixes belongs to retention: another policy does not take it over", "[setup]") {
  const TunedRun tuned;
  const std::string exported = tuned.folder.make("exported");
  write_text_file(exported + "/lococo_config.json",
                  R"({"policy": "retention", "scores": "accumulated", "mixing": "conv"})");
  write_text_file(exported + "/lococo.safetensors", "");
  CHECK(tuned.read(exported).cache.mixing == MixingKind::kConv);
  CHECK(tuned.read(exported, "cache: {policy: h2o}\n").cache.mixing == MixingKind::kNone);
}

TEST_CASE("Options come from each kind of folder of ours", "[setup]") {
  const TunedRun tuned;
  const std::string exported = tuned.folder.make("exported");
  fs::copy(tuned.newest + "/lococo.safetensors", exported);
  SECTION("a conv export") {
    fs::copy(tuned.newest + "/lococo_config.json", exported);
    CHECK(tuned.read(exported).cache.slots == 8);
  }
  SECTION("a checkpoint without convolutions") {
    fs::remove(tuned.newest + "/lococo_config.json");
    CHECK(tuned.read(tuned.newest).cache.slots == 8);
  }
  SECTION("arguments of the official code") {
    write_text_file(exported + "/lococo_args.json", R"({"mem_size": 48, "block_size": 24})");
    CHECK(tuned.read(exported).cache.slots == 48);
    CHECK(tuned.read(exported).cache.block == 24);
  }
  SECTION("modules without options") {
    CHECK(tuned.read(exported).cache.policy == CachePolicyKind::kLococo);
    CHECK(tuned.read(exported, "cache: {policy: h2o}").cache.policy == CachePolicyKind::kH2o);
  }
  SECTION("options of a wrong type") {
    write_text_file(exported + "/lococo_config.json", R"({"slots": "many"})");
    CHECK_CONTAINS(user_error_of([&] { tuned.read(exported); }),
                   exported + "/lococo_config.json: cache.slots");
  }
}

TEST_CASE("The shape of an adapter's LoRA is taken where tune.lora trains it", "[setup]") {
  const TunedRun tuned;
  const Config trained = tuned.read(tuned.newest, "tune: {lora: 1e-3}\n");
  CHECK(trained.tune.lora_rank == 3);
  CHECK(trained.tune.lora_alpha == 12.0);
  CHECK(trained.tune.lora_targets == std::vector<std::string>{"v_proj"});
  CHECK(tuned.read(tuned.newest, "tune: {lora: 1e-3, lora_rank: 5}\n").tune.lora_rank == 5);
  CHECK(tuned.read(tuned.newest).tune.lora_rank == TuneConfig().lora_rank);
}

TEST_CASE("A run folder means its newest good checkpoint", "[setup]") {
  const TunedRun tuned;
  CHECK(tuned.read(tuned.run).model.adapter == tuned.newest);
  CHECK(tuned.read(tuned.run).cache.slots == 8);
  fs::resize_file(tuned.newest + "/lococo.safetensors", 100);
  CHECK(tuned.read(tuned.run).model.adapter == tuned.older);
  fs::resize_file(tuned.older + "/lococo.safetensors", 100);
  CHECK_CONTAINS(user_error_of([&] { tuned.read(tuned.run); }),
                 tuned.run + ": every checkpoint of this folder is damaged");
}

}  // namespace lococo::testing
