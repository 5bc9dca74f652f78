#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/checkpointed_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"
#include "weights/checkpoint.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("A checkpoint holds the files that its trained parts need", "[weights]") {
  TemporaryFolder folder;
  const std::vector<std::string> always = {"config.yaml", "optimizer.safetensors", "state.json"};
  const auto files_of = [&](const TuneConfig& tune, const CacheConfig& cache) {
    CheckpointedRun run(tune, cache);
    return sorted_names_in(run.save(folder.path()));
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

TEST_CASE("Only the last checkpoints are kept, and none newer than this run's is removed",
          "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  for (const int64_t step : {10, 20, 30, 40}) {
    run.step = step;
    run.save(folder.path(), /*keep_last=*/2);
  }
  CHECK(sorted_names_in(folder.path()) ==
        std::vector<std::string>{"step-00000030", "step-00000040"});
  run.step = 35;
  run.save(folder.path(), /*keep_last=*/1);
  CHECK(sorted_names_in(folder.path()) ==
        std::vector<std::string>{"step-00000035", "step-00000040"});
}

TEST_CASE("Folders that are no checkpoints are neither taken nor removed", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
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

TEST_CASE("Saving a step again replaces its folder", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
  run.step = 5;
  const std::string dir = run.save(folder.path());
  perturb(run.model, "lora_B", 0.1, 1);
  CHECK(run.save(folder.path()) == dir);
  CHECK(sorted_names_in(folder.path()) == std::vector<std::string>{"step-00000005"});
  CheckpointedRun loaded;
  loaded.load(dir);
  CHECK(same_bits(run.everything(), loaded.everything()));
}

TEST_CASE("A full disk leaves the older checkpoint good and nothing half-written", "[weights]") {
  TemporaryFolder folder;
  CheckpointedRun run;
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
  CHECK(sorted_names_in(folder.path()) == std::vector<std::string>{"step-00000001"});
  CHECK(newest_good_checkpoint(folder.path()) == good);
  CHECK(run.save(folder.path()) == folder / "step-00000002");  // with room again it goes on
}

TEST_CASE("What a killed run left half-written does not disturb the next save", "[weights]") {
  TemporaryFolder folder;
  write_text_file(folder.make(".tmp-step-00000004") + "/model.safetensors", "half");
  CheckpointedRun run;
  run.step = 4;
  const std::string dir = run.save(folder.path());
  CHECK(sorted_names_in(folder.path()) == std::vector<std::string>{"step-00000004"});
  CHECK_FALSE(fs::exists(dir + "/model.safetensors"));
}

}  // namespace lococo::testing
