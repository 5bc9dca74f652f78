#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/checkpointed_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"
#include "weights/checkpoint.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

}  // namespace

TEST_CASE("A damaged checkpoint is never taken; the newest good one is", "[weights]") {
  TemporaryFolder folder;
  const std::string output = folder.path();
  CHECK_FALSE(newest_good_checkpoint(output + "/nothing"));
  CHECK_FALSE(newest_good_checkpoint(output));
  CheckpointedRun run;
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
    flip_last_bit(newest + "/adapter_model.safetensors");
    told = "the content of adapter_model.safetensors has changed";
  }
  SECTION("state.json is cut off") {
    fs::resize_file(newest + "/state.json", 50);
    told = "state.json: is not JSON (at byte";
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
    told = "it has no files";
  }
  SECTION("it was never completed") {
    fs::remove(newest + "/state.json");
    told = "it has no state.json";
  }
  CHECK(newest_good_checkpoint(output) == good);
  CheckpointedRun other;
  const TensorMap before = other.everything();
  CHECK_CONTAINS(user_error_of([&] { other.load(newest); }), told);
  CHECK(same_bits(before, other.everything()));
}

TEST_CASE("Where every checkpoint is damaged, nothing begins anew beside them", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  for (int step = 0; step < 2; ++step) {
    run.train_step();
    fs::resize_file(run.save(folder.path()) + "/optimizer.safetensors", 100);
  }
  CHECK_CONTAINS(user_error_of([&] { newest_good_checkpoint(folder.path()); }),
                 folder.path() + ": every checkpoint of this folder is damaged (2); ");
  CHECK(newest_good_checkpoint(folder.path(), CheckpointUse::kWeights));
}

TEST_CASE("A state.json with values of a wrong type is damage, told in one line", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  const std::string dir = run.save(folder.path());
  Json state = Json::parse(read_text_file(dir + "/state.json"));
  const auto told = [&](const std::string& key, const Json& value) {
    Json changed = state;
    changed[key] = value;
    write_text_file(dir + "/state.json", changed.dump());
    CHECK_CONTAINS(user_error_of([&] { newest_good_checkpoint(folder.path()); }), "is damaged");
    CHECK_CONTAINS(user_error_of([&] { load_trained(dir, run.model, kBaseFingerprint); }),
                   "is a damaged checkpoint");
    return user_error_of([&] { run.load(dir); });
  };
  for (const char* key : {"step", "tokens_seen", "threads", "world_size"}) {
    for (const Json& value : {Json("7"), Json(1.5), Json(-1), Json(true), Json(nullptr), Json({1})})
      CHECK_CONTAINS(told(key, value), key + std::string(" is not a whole number from 0"));
  }
  for (const char* key : {"base_fingerprint", "base_path", "adapter_path", "git_revision"})
    CHECK_CONTAINS(told(key, 7), key + std::string(" is not a text"));
  CHECK_CONTAINS(told("trainable", "all"), "trainable is not a list of names");
  CHECK_CONTAINS(told("trainable", {1, 2}), "trainable is not a list of names");
  CHECK_CONTAINS(told("cache", {1}), "cache is not an object");
  CHECK_CONTAINS(told("files", Json::array()), "files is not an object");
  CHECK_CONTAINS(told("files", Json::object()), "lists no files named config.yaml");
  Json files = state["files"];
  files["config.yaml"] = 5;
  CHECK_CONTAINS(told("files", files), "does not say size and checksum of config.yaml");
  files = state["files"];
  files["../outside"] = files["config.yaml"];
  CHECK_CONTAINS(told("files", files), "does not say size and checksum of ../outside");
}

TEST_CASE("A checkpoint that is not finite never gets its name, and the last good one stays",
          "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  run.train_step();
  const std::string good = run.save(folder.path());
  run.train_step();
  const bool weights = GENERATE(true, false);
  const torch::NoGradGuard no_grad;
  const std::string name = "model.layers.1.self_attn.q_proj.lora_A.weight";
  auto broken = weights ? run.model->named_parameters()[name] : run.optimizer->state()[name + ".v"];
  broken.view({-1})[3] = std::numeric_limits<float>::quiet_NaN();
  const std::string line = user_error_of([&] { run.save(folder.path()); });
  CHECK_CONTAINS(line, "step 2: " + std::string(weights ? "" : "the optimizer's ") + name);
  CHECK_CONTAINS(line, "is not finite");
  CHECK_CONTAINS(line, "the last checkpoint " + good + " stays");
  CHECK(sorted_names_in(folder.path()) == std::vector<std::string>{"step-00000001"});
  CHECK(newest_good_checkpoint(folder.path()) == good);
}

TEST_CASE("A checkpoint is refused on another base, training or cache", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  const std::string dir = run.save(folder.path());
  SECTION("base") {
    CheckpointedRun other;
    const std::string line = user_error_of([&] { other.load(dir, "ffffffffffffffff"); });
    CHECK_CONTAINS(line, "another base model");
    CHECK_CONTAINS(line, kBaseFingerprint);
    CHECK_CONTAINS(user_error_of([&] { load_trained(dir, other.model, "ffffffffffffffff"); }),
                   "another base model");
  }
  SECTION("trains less") {
    TuneConfig tune = tune_parts();
    tune.norm.reset();
    CheckpointedRun other(tune);
    const std::string line = user_error_of([&] { other.load(dir); });
    CHECK_CONTAINS(line, "the checkpoint trains ");
    CHECK_CONTAINS(line, "norm.weight, this run does not");
  }
  SECTION("trains more") {
    TuneConfig tune = tune_parts();
    tune.norm.reset();
    CheckpointedRun less(tune);
    less.step = 1;
    const std::string small = less.save(folder.path());
    CHECK_CONTAINS(user_error_of([&] { run.load(small); }), "this run trains ");
  }
  SECTION("cache") {
    CacheConfig cache = tiny_cache();
    cache.scores = ScoreKind::kAccumulated;
    CheckpointedRun other(tune_parts(), cache);
    CHECK_CONTAINS(user_error_of([&] { other.load(dir); }), "cache.scores");
  }
}

}  // namespace lococo::testing
