#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"
#include "train/resume_check.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// A run of four steps with a checkpoint after the second, to resume from there.
struct Interrupted {
  TemporaryFolder folder;
  Config config = tiny_run_config(folder.path());
  std::string checkpoint;

  Interrupted() {
    config.train.decay = Decay::kConstant;
    config.checkpoint.every = 2;
    TinyRun run(config);
    run.trainer->train();
    checkpoint = config.train.output + "/" + checkpoint_name(2);
    config.train.resume = Resume::kPath;
    config.train.resume_path = checkpoint;
    config.train.output = folder / "resumed";
  }

  std::string refusal() const {
    return user_error_of([&] { TinyRun run(config); });
  }
};

/// The kind of each change of a run whose base and tokens are the same.
std::map<std::string, ChangeKind> kinds_of(const Config& there, const Config& here) {
  CheckpointState state;
  state.base_fingerprint = "base";
  state.data_fingerprints = {7};
  std::map<std::string, ChangeKind> kinds;
  const std::string base = "base";
  const std::vector<uint64_t> data = {7};
  for (const auto& change : resume_changes(state, there, {here, base, data}))
    kinds[change.key] = change.kind;
  return kinds;
}

}  // namespace

TEST_CASE("a resume lists every option that makes another run, in one line", "[train]") {
  Interrupted run;
  run.config.data.context_length = 25;
  run.config.train.sequences_per_step = 6;
  run.config.tune.conv = 2e-2;
  run.config.train.beta2 = 0.95;
  const auto line = run.refusal();
  CHECK_CONTAINS(line, run.checkpoint);
  CHECK_CONTAINS(line, "data.context_length is 33 there and 25 here");
  CHECK_CONTAINS(line, "train.sequences_per_step is 4 there and 6 here");
  CHECK_CONTAINS(line, "tune.conv is 0.01 there and 0.02 here");
  CHECK_CONTAINS(line, "train.beta2 is 0.999 there and 0.95 here");
  CHECK_CONTAINS(line, "train.resume_changed=accept");

  run.config.train.resume_changed = ResumeChanged::kAccept;
  TinyRun resumed(run.config);
  CHECK(resumed.trainer->step() == 2);
  CHECK(resumed.trainer->train() == TrainOutcome::kFinished);
}

TEST_CASE("options that change nothing of what is trained do not stop a resume", "[train]") {
  Interrupted run;
  run.config.train.micro_batch = 2;
  run.config.log.every = 7;
  run.config.checkpoint.every = 1;
  run.config.eval.lengths = {16};
  run.config.train.steps = 5;   // the rate is constant
  run.config.tune.embed = 0.0;  // not trained, as without a rate
  TinyRun resumed(run.config);
  CHECK(resumed.trainer->step() == 2);
}

TEST_CASE("what the checkpoint's weights do not fit is refused even when changes are accepted",
          "[train]") {
  Interrupted run;
  run.config.train.resume_changed = ResumeChanged::kAccept;
  run.config.train.clip = 3.0;
  SECTION("another seed, which makes another random base") {
    run.config.train.seed = 2;
    const auto line = run.refusal();
    CHECK_CONTAINS(line, "train.seed is 1 there and 2 here");
    CHECK_CONTAINS(line, "train.clip is 1.0 there and 3.0 here");
    CHECK_CONTAINS(line, "the base's fingerprint");
    CHECK(line.find("accept") == std::string::npos);
  }
  SECTION("other slots and another group") {
    run.config.cache.slots = 12;
    run.config.tune.embed = 1e-3;
    const auto line = run.refusal();
    CHECK_CONTAINS(line, "cache.slots is 8 there and 12 here");
    CHECK_CONTAINS(line, "tune.embed is null there and 0.001 here");
    CHECK_CONTAINS(line, "another train.output: cache.slots, tune.embed cannot change");
  }
}

TEST_CASE("the tokens that are trained on belong to the run, not where they lie", "[train]") {
  Interrupted run;
  const auto& path = run.config.data.train.front().path;
  SECTION("the same file at another place") {
    const std::string moved = run.folder / "moved.tokens";
    std::filesystem::copy_file(path, moved);
    run.config.data.train = {{moved, 1.0}};
    CHECK(TinyRun(run.config).trainer->step() == 2);
  }
  SECTION("other tokens at the same place") {
    write_tokens(path, {random_document(700, 2)});
    CHECK_CONTAINS(run.refusal(), "the fingerprint of data.train's tokens");
  }
  SECTION("another share of a source") {
    run.config.data.train = {{path, 1.0}, {path, 2.0}};
    CHECK_CONTAINS(run.refusal(), "data.train is");
  }
  SECTION("a checkpoint from before fingerprints of data") {
    const std::string file = run.checkpoint + "/state.json";
    auto state = nlohmann::ordered_json::parse(read_text_file(file));
    REQUIRE(state.erase("data_fingerprints") == 1);
    write_text_file(file, state.dump());
    CHECK(TinyRun(run.config).trainer->step() == 2);
  }
}

TEST_CASE("more steps are another run where the rate decays", "[train]") {
  Config there;
  Config here = there;
  here.train.steps = 2000;
  CHECK((kinds_of(there, here).at("train.steps") == ChangeKind::kMeaning));
  there.train.decay = here.train.decay = Decay::kConstant;
  CHECK((kinds_of(there, here).at("train.steps") == ChangeKind::kNone));
}

TEST_CASE("one key at a time, a change of every kind is told apart", "[train]") {
  Config there;
  there.cache.policy = CachePolicyKind::kLococo;
  Config here = there;
  here.log.every = 9;
  here.eval.far = 9;
  here.distributed.threads = 9;
  here.train.cuda_graphs = false;
  here.train.weight_decay = 0.1;
  here.cache.block = 64;
  here.cache.sinks = 4;
  here.cache.init = ConvInit::kFanIn;
  here.data.add_bos = false;  // the tokens are the same all the same
  here.data.min_document_tokens = 5;
  here.data.lesson_share = 0.1;
  here.data.lesson_texts = {"elsewhere"};  // and the same texts
  here.model.dtype = DType::kBFloat16;
  here.tune.lora_rank = 3;  // LoRA is not trained
  here.bench.repeat = 9;    // another tool's
  here.train.output = "elsewhere";
  const std::map<std::string, ChangeKind> expected = {
      {"log.every", ChangeKind::kNone},
      {"eval.far", ChangeKind::kNone},
      {"distributed.threads", ChangeKind::kNone},
      {"train.cuda_graphs", ChangeKind::kRounding},
      {"train.weight_decay", ChangeKind::kMeaning},
      {"cache.block", ChangeKind::kMeaning},
      {"cache.sinks", ChangeKind::kWeights},
      {"cache.init", ChangeKind::kNone},
      {"data.add_bos", ChangeKind::kNone},
      {"data.min_document_tokens", ChangeKind::kMeaning},
      {"data.lesson_share", ChangeKind::kMeaning},
      {"data.lesson_texts", ChangeKind::kNone},
      {"model.dtype", ChangeKind::kMeaning},
      {"tune.lora_rank", ChangeKind::kNone}};
  CHECK((kinds_of(there, here) == expected));
}

TEST_CASE("segments make another run, however they are written", "[train]") {
  using Kinds = std::map<std::string, ChangeKind>;
  Config there;
  Config here;
  here.attention.sinks = 9;  // full attention has none
  CHECK((kinds_of(there, here) == Kinds{{"attention.sinks", ChangeKind::kNone}}));
  here.attention = {};
  here.attention.pattern = PatternKind::kS2;
  CHECK((kinds_of(there, here) == Kinds{{"attention.pattern", ChangeKind::kMeaning}}));
  there = here;
  here.attention.group_tokens = 1024;  // a quarter of the context
  here.attention.shift_fraction = 1.0;
  here.attention.sinks = 0;
  CHECK((kinds_of(there, here) == Kinds{{"attention.group_tokens", ChangeKind::kNone},
                                        {"attention.shift_fraction", ChangeKind::kNone},
                                        {"attention.sinks", ChangeKind::kNone}}));
  here.attention.group_tokens = 1000;
  here.attention.shift_fraction = 0.5;
  here.attention.sinks = 4;
  CHECK((kinds_of(there, here) == Kinds{{"attention.group_tokens", ChangeKind::kMeaning},
                                        {"attention.shift_fraction", ChangeKind::kMeaning},
                                        {"attention.sinks", ChangeKind::kMeaning}}));
}

TEST_CASE("options that a policy ignores do not make another run", "[train]") {
  Config there;
  Config here;
  here.cache.slots = 64;
  here.cache.kernel_size = 9;
  here.cache.boundary_targets = true;
  using Kinds = std::map<std::string, ChangeKind>;
  CHECK((kinds_of(there, here) == Kinds{{"cache.slots", ChangeKind::kNone},
                                        {"cache.kernel_size", ChangeKind::kNone},
                                        {"cache.boundary_targets", ChangeKind::kMeaning}}));
  there.cache.policy = here.cache.policy = CachePolicyKind::kStreaming;
  CHECK((kinds_of(there, here) == Kinds{{"cache.slots", ChangeKind::kWeights},
                                        {"cache.kernel_size", ChangeKind::kNone},
                                        {"cache.boundary_targets", ChangeKind::kMeaning}}));
}
