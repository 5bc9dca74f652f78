// Runs on records: what a step is made of, and that packing changes nothing but the rows.
#include <cmath>
#include <numeric>

#include "core/files.h"
#include "core/log.h"
#include "eval/record_evaluator.h"
#include "eval/record_report.h"
#include "records/open_records.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct RecordPlace {
  RecordPlace() {
    configure_log(LogLevel::kError, /*is_main_rank=*/true);
    write_byte_tokenizer(folder / "tokenizer.model");
    std::string lines;
    for (int i = 0; i < 8; ++i) {
      lines += R"({"instruction": "say )" + std::string(static_cast<size_t>(3 * i), 'x') +
               R"(", "output": "it is )" + std::to_string(i) + "\"}\n";
    }
    write_text_file(folder / "a.jsonl", lines);
    config = tiny_run_config(folder.path());
    config.model.init.vocab_size = kByteVocabulary;
    config.cache = CacheConfig();
    config.tune = TuneConfig();
    config.tune.all = 1e-3;
    config.data.tokenizer = folder / "tokenizer.model";
    config.data.train.clear();
    config.data.records = {{folder / "a.jsonl", 1.0}};
    config.data.context_length = 64;
    config.data.record_template = RecordTemplate::kPlain;
    tokenizer = load_tokenizer(config.data.tokenizer);
  }

  std::unique_ptr<Trainer> trainer(const std::string& name,
                                   std::unique_ptr<RecordEvaluator> evaluator = nullptr) {
    config.train.output = folder / name;
    auto prepared = prepare_model(config, torch::kCPU);
    return std::make_unique<Trainer>(config, std::move(prepared),
                                     TrainingSequences(open_records(config, tokenizer.get())),
                                     /*evaluator=*/nullptr, torch::kCPU, *communicator,
                                     /*threads=*/1, std::move(evaluator));
  }

  /// The line of metrics.jsonl of a run's only step.
  std::string metrics(const std::string& name) const {
    return read_text_file(folder / (name + "/metrics.jsonl"));
  }

  TemporaryFolder folder;
  Config config;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Communicator> communicator = make_single_communicator();
};

double number_of(const std::string& line, const std::string& key) {
  const size_t at = line.find("\"" + key + "\":");
  REQUIRE(at != std::string::npos);
  return std::stod(line.substr(at + key.size() + 3));
}

}  // namespace

TEST_CASE("a step on records has the same loss packed and not", "[train]") {
  for (const bool blockwise : {false, true}) {
    INFO(blockwise);
    RecordPlace place;
    if (blockwise) {
      place.config.cache = tiny_cache();
      place.config.cache.boundary_targets = true;
      place.config.tune = TuneConfig();
      place.config.tune.lora = 1e-3;
    }
    // All eight records in one step: the rows of the first epoch, or so many packed ones.
    place.config.train.steps = 1;
    place.config.train.sequences_per_step = 8;
    place.config.train.micro_batch = 3;
    place.trainer("apart")->train();
    const auto apart = place.metrics("apart");

    place.config.data.packing = true;
    auto options = place.config;
    const auto rows = open_records(options, place.tokenizer.get());
    // A packed chunk holds 64 epochs of eight records: as many targets each.
    int64_t count = 0;
    for (int64_t records = 0; records < 512; ++count)
      records += static_cast<int64_t>(rows->row(count).documents.size());
    place.config.train.sequences_per_step = count;
    place.trainer("packed")->train();
    const auto packed = place.metrics("packed");
    CHECK(number_of(packed, "targets") == 64 * number_of(apart, "targets"));
    CHECK(number_of(packed, "loss") == Approx(number_of(apart, "loss")).margin(1e-5));
    CHECK(number_of(packed, "grad_norm") == Approx(number_of(apart, "grad_norm")).epsilon(1e-4));
    CHECK(number_of(packed, "records") == 8);
    CHECK(number_of(packed, "records_dropped") == 0);
  }
}

TEST_CASE("a memory is taught on records too", "[train]") {
  RecordPlace place;
  place.config.cache = tiny_cache();
  place.config.cache.policy = CachePolicyKind::kRetention;
  place.config.cache.positions = PositionKind::kText;
  place.config.cache.position_cap = 64;
  place.config.cache.scores = ScoreKind::kAccumulated;
  place.config.cache.buffer = 0;
  place.config.teach.slots = {8};
  place.config.tune = TuneConfig();
  place.config.tune.retention = 1e-2;
  place.config.train.steps = 2;
  place.config.train.micro_batch = 2;
  auto trainer = place.trainer("taught");
  CHECK((trainer->train() == TrainOutcome::kFinished));
  CHECK(std::isfinite(number_of(place.metrics("taught"), "loss")));
}

TEST_CASE("a training is done though the records cannot be scored at its end", "[train]") {
  RecordPlace place;
  place.config.train.steps = 1;
  place.config.eval.every = 0;
  auto sets = open_record_sets(place.config, "data.records", place.config.data.records,
                               place.tokenizer.get());
  sets.front().records.front().ids.front() = kByteVocabulary + 9;
  auto trainer =
      place.trainer("odd", std::make_unique<RecordEvaluator>(place.config, std::move(sets)));
  configure_log(LogLevel::kInfo, /*is_main_rank=*/true);
  const std::string log = stderr_of([&] { CHECK((trainer->train() == TrainOutcome::kFinished)); });
  CHECK_CONTAINS(log, "no evaluation after training: ");
  CHECK_CONTAINS(log, trainer->checkpoint() + " is good");
  CHECK(path_exists(trainer->checkpoint() + "/state.json"));
}

TEST_CASE("the NLL of answers is that of their targets in the whole record", "[train]") {
  RecordPlace place;
  place.config.eval.batch = 3;
  auto model = tiny_llama(5, {}, place.config.model.init);
  auto sets = open_record_sets(place.config, "data.records", place.config.data.records,
                               place.tokenizer.get());
  const RecordSet set = sets.front();
  const RecordEvaluator evaluator(place.config, std::move(sets));
  const auto results = evaluator.evaluate(model, torch::kCPU, *place.communicator);
  REQUIRE(results.size() == 1);
  REQUIRE(results[0].records.size() == 8);
  const auto pass = make_full_sequence_pass(2048, false);
  for (size_t i = 0; i < 8; ++i) {
    const auto& record = set.records[i];
    REQUIRE(record.answers.size() == 1);
    const auto tokens = torch::tensor(record.ids, torch::kInt64).unsqueeze(0);
    const auto answer = record.answers[0];
    const auto want = pass->evaluate(model, tokens)[0]
                          .narrow(/*dim=*/0, answer.begin - 1, answer.length())
                          .sum()
                          .item<double>();
    CHECK(results[0].records[i].targets == answer.length());
    CHECK(results[0].records[i].nll_sum == Approx(want).epsilon(1e-4));
    CHECK(results[0].records[i].document == static_cast<int64_t>(i) + 1);
  }
  CHECK(answer_nll(results).targets == set.counts.targets);
  CHECK(records_table(results).find("a.jsonl") != std::string::npos);
  CHECK(non_finite_record(results).empty());
}
