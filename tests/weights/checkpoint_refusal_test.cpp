#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
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

TEST_CASE("A damaged checkpoint is never taken; the newest good one is", "[train]") {
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
  CheckpointedRun other;
  const TensorMap before = other.everything();
  CHECK_CONTAINS(user_error_of([&] { other.load(newest); }), told);
  CHECK(same_bits(before, other.everything()));
}

TEST_CASE("A checkpoint is refused on another base, training or cache", "[train]") {
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
