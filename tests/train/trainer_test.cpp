#include "train/trainer.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "data/prepare.h"
#include "lessons/open_lessons.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/made_novel.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// The lines of metrics.jsonl.
std::vector<nlohmann::json> metrics_of(const Config& config) {
  std::vector<nlohmann::json> lines;
  std::ifstream stream(config.train.output + "/metrics.jsonl");
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TensorMap weights_after(const Config& config) {
  TinyRun run(config);
  REQUIRE(run.trainer->train() == TrainOutcome::kFinished);
  CHECK(run.trainer->step() == config.train.steps);
  return snapshot(run.model);
}

Config fully_tuned(const std::string& folder) {
  auto config = tiny_run_config(folder);
  config.tune.lora = 1e-2;
  config.tune.lora_rank = 2;
  config.tune.embed = config.tune.norm = 1e-3;
  config.train.warmup_steps = 1;
  config.train.weight_decay = 0.1;
  return config;
}

}  // namespace

TEST_CASE("2 N steps are N steps, a resume and N steps, bit for bit", "[train]") {
  const TemporaryFolder folder;
  auto config = fully_tuned(folder.path());
  config.train.steps = 6;
  config.checkpoint.every = 3;
  const auto straight = weights_after(config);

  auto resumed_config = config;
  resumed_config.train.output = folder / "resumed";
  resumed_config.train.resume = Resume::kPath;
  resumed_config.train.resume_path = config.train.output + "/" + checkpoint_name(3);
  TinyRun resumed(resumed_config);
  CHECK(resumed.trainer->step() == 3);
  CHECK_FALSE(same_bits(snapshot(resumed.model), straight));
  resumed.trainer->train();
  CHECK(same_bits(snapshot(resumed.model), straight));
  // The second half of the metrics is the same too.
  const auto all = metrics_of(config), second = metrics_of(resumed_config);
  REQUIRE(all.size() == 6);
  REQUIRE(second.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    for (const char* key : {"step", "loss", "tokens", "lr", "grad_norm"})
      CHECK(second[i].at(key) == all[i + 3].at(key));
  }
}

TEST_CASE("resume auto goes on from the newest checkpoint of the output folder", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  const auto finished = weights_after(config);
  TinyRun again(config);
  CHECK(again.trainer->step() == 4);
  CHECK(same_bits(snapshot(again.model), finished));
  CHECK(again.trainer->train() == TrainOutcome::kFinished);  // nothing is left to do
  CHECK(same_bits(snapshot(again.model), finished));
}

TEST_CASE("resume never refuses an output folder that holds a run", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  weights_after(config);
  config.train.resume = Resume::kNever;
  const auto line = user_error_of([&] { TinyRun run(config); });
  CHECK_CONTAINS(line, "train.output");
}

TEST_CASE("with tune.conv alone everything else is bit-identical after three steps", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.cache.bptt_blocks = GENERATE(1, 3);
  config.train.steps = 3;
  TinyRun run(config);
  const auto before = snapshot(run.model);
  run.trainer->train();
  for (const auto& [name, tensor] : snapshot(run.model)) {
    INFO(name);
    const bool trained = name.find("memory_saver") != std::string::npos;
    CHECK(torch::equal(tensor, before.at(name)) == !trained);
  }
  for (const auto& item : run.model->named_parameters()) {
    INFO(item.key());
    const bool trained = item.key().find("memory_saver") != std::string::npos;
    CHECK(item.value().grad().defined() == trained);
  }
}

TEST_CASE("training lowers the loss of a text that can be learned", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  std::vector<int32_t> periodic;
  for (int i = 0; i < 600; ++i) periodic.push_back(3 + i % 7);
  config.data.train = {{write_tokens(folder / "periodic.tokens", {periodic}), 1.0}};
  config.tune.all = 1e-2;
  config.train.steps = 12;
  weights_after(config);
  const auto lines = metrics_of(config);
  REQUIRE(lines.size() == 12);
  CHECK(lines.front().at("loss").get<double>() > 3.0);
  CHECK(lines.back().at("loss").get<double>() < 1.0);
}

TEST_CASE("the micro-batch size changes a step by rounding only", "[train]") {
  const TemporaryFolder folder;
  auto config = fully_tuned(folder.path());
  // A tail micro-batch of one, too: 5 sequences as 4 + 1.
  config.train.sequences_per_step = 5;
  config.train.steps = 1;
  config.train.warmup_steps = 0;
  std::vector<TensorMap> gradients;
  std::vector<double> losses;
  for (const int64_t micro_batch : {1, 4, 5}) {
    config.train.micro_batch = micro_batch;
    config.train.output = folder / ("run-" + std::to_string(micro_batch));
    TinyRun run(config);
    run.trainer->train();
    losses.push_back(metrics_of(config).at(0).at("loss"));
    gradients.emplace_back();
    for (const auto& item : run.model->named_parameters()) {
      if (item.value().grad().defined()) gradients.back()[item.key()] = item.value().grad().clone();
    }
  }
  REQUIRE_FALSE(gradients[0].empty());
  for (size_t i = 1; i < gradients.size(); ++i) {
    CHECK(losses[i] == Approx(losses[0]).epsilon(1e-6));
    REQUIRE(gradients[i].size() == gradients[0].size());
    for (const auto& [name, gradient] : gradients[0]) {
      INFO(name);
      CHECK_CLOSE(gradients[i].at(name), gradient);
    }
  }
}

TEST_CASE("a step's loss and its tokens are those of the sequences that the dataset deals out",
          "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.train.steps = 2;
  TinyRun fresh(config);
  auto model = fresh.model;
  const auto dataset =
      open_dataset(config.data.train, config.data, nullptr, tiny_shape().vocab_size);
  const auto pass = make_pass(config);
  double loss = 0, targets = 0;
  for (int64_t i = 0; i < 4; ++i) {
    const auto tokens = torch::tensor(dataset.sequence(config.train.seed, i).tokens).view({1, 34});
    const auto result = pass->train(model, {tokens});
    loss += result.loss_sum.item<double>();
    targets += static_cast<double>(result.targets);
  }
  fresh.trainer->train();
  const auto lines = metrics_of(config);
  CHECK(lines.at(0).at("loss").get<double>() == Approx(loss / targets).epsilon(1e-6));
  CHECK(lines.at(0).at("tokens") == 4 * 33);
  CHECK(lines.at(1).at("tokens") == 8 * 33);
}

TEST_CASE("a loss that is not finite stops the run with step, sequence and position", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.checkpoint.every = 1;
  config.train.steps = 2;
  config.train.decay = Decay::kConstant;  // so that more steps are the same run
  weights_after(config);

  config.train.steps = 6;
  TinyRun run(config);
  {
    const torch::NoGradGuard no_grad;
    run.model->model->norm->weight[0] = std::numeric_limits<float>::quiet_NaN();
  }
  const auto message = user_error_of([&] { run.trainer->train(); });
  CHECK_CONTAINS(message, "step 3");
  CHECK_CONTAINS(message, "sequence 8");  // the first of the third step
  CHECK_CONTAINS(message, "token ");
  // The user's fault, and not the learning rate's.
  CHECK_CONTAINS(message, "The weights that the run began with hold values that are not finite");
  CHECK_CONTAINS(message, "norm.weight");
  CHECK(run.trainer->step() == 2);
  CHECK(newest_good_checkpoint(config.train.output) ==
        config.train.output + "/" + checkpoint_name(2));
}

TEST_CASE("a run that trains nothing is the user's fault", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.tune.conv.reset();
  CHECK_CONTAINS(user_error_of([&] { TinyRun run(config); }), "tune");
}

TEST_CASE("a loss that the learning rate has made infinite is blamed on it", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.tune.all = 1e30;
  TinyRun run(config);
  CHECK_CONTAINS(user_error_of([&] { run.trainer->train(); }), "Try a smaller learning rate");
}

TEST_CASE("a step without a target is refused with the reason", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.cache.block = 1;
  TinyRun run(config);
  const auto message = user_error_of([&] { run.trainer->train(); });
  CHECK_CONTAINS(message, "no target");
  CHECK_CONTAINS(message, "cache.boundary_targets");
  config.cache.boundary_targets = true;
  config.train.output = folder / "with";
  CHECK(TinyRun(config).trainer->train() == TrainOutcome::kFinished);
}

TEST_CASE("a run with lessons counts every target but those that fill a lesson up", "[train]") {
  const TemporaryFolder folder;
  const auto config = tiny_lesson_config(folder.path());
  TinyRun run(config);
  const std::shared_ptr<const Tokenizer> tokenizer = load_tokenizer(config.data.tokenizer);
  const TrainingSequences sequences(
      config, open_dataset(config.data.train, config.data, tokenizer.get(), kByteVocabulary),
      open_lessons(config, tokenizer));
  const auto pass = make_pass(config);
  CHECK(pass->wants_kinds());
  double loss = 0;
  int64_t targets = 0, ignored = 0, lessons = 0;
  for (int64_t i = 0; i < 4; ++i) {
    const auto sequence = sequences.sequence(i, /*with_kinds=*/true);
    lessons += sequences.is_lesson(i) ? 1 : 0;
    ignored += std::count(sequence.kinds.begin(), sequence.kinds.end(), 0);
    const Batch batch = {torch::tensor(sequence.tokens).unsqueeze(0),
                         torch::tensor(sequence.kinds, torch::kUInt8).unsqueeze(0)};
    const auto result = pass->train(run.model, batch);
    loss += result.loss_sum.item<double>();
    targets += result.targets;
  }
  CHECK(lessons == 2);
  CHECK(targets == 4 * 2400 - ignored);
  CHECK(run.trainer->train() == TrainOutcome::kFinished);
  const auto lines = metrics_of(config);
  CHECK(lines.at(0).at("loss").get<double>() ==
        Approx(loss / static_cast<double>(targets)).epsilon(1e-6));
  CHECK(lines.at(1).at("tokens") == 8 * 2400);
}

TEST_CASE("a run with lessons resumes bit for bit, on the same texts alone", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_lesson_config(folder.path());
  config.checkpoint.every = 1;
  const auto straight = weights_after(config);
  config.train.resume = Resume::kPath;
  config.train.resume_path = config.train.output + "/" + checkpoint_name(1);
  config.train.output = folder / "resumed";
  CHECK(same_bits(weights_after(config), straight));

  write_text_file(folder / "other.txt", made_novel(3000, 2));
  config.data.lesson_texts = {folder / "other.txt"};
  config.train.output = folder / "changed";
  CHECK_CONTAINS(user_error_of([&] { TinyRun changed(config); }), "and of the lessons' texts is");
}
