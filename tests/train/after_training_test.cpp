#include "train/after_training.h"

#include "core/log.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

std::vector<PositionBucket> parts_of(const std::vector<double>& means) {
  auto parts = make_position_buckets(static_cast<int64_t>(means.size()) * 10,
                                     static_cast<int64_t>(means.size()));
  for (size_t i = 0; i < means.size(); ++i) {
    parts[i].targets = 10;
    parts[i].nll_sum = 10 * means[i];
  }
  return parts;
}

}  // namespace

TEST_CASE("a rise of the NLL by more than 0.5 along a segment is told", "[train]") {
  CHECK(rise_warning(parts_of({3.0, 2.5, 2.9, 3.4, 3.9})).empty());
  CHECK(rise_warning({}).empty());
  const auto line = rise_warning(parts_of({3.0, 2.5, 3.25, 8.0}));
  CHECK_CONTAINS(line, "from 2.500 (tokens 10 to 20) to 3.250 (up to 30)");
}

TEST_CASE("the evaluation after training reads a twentieth of what was trained on", "[train]") {
  Config config;
  config.data.context_length = 1000;
  config.eval.batch = 16;
  config.train.micro_batch = 4;
  auto eval = after_training_config(config, /*longest=*/5000, /*trained=*/200'000).eval;
  CHECK(eval.lengths == std::vector<int64_t>{1000});
  CHECK(eval.max_tokens == 10'000);
  CHECK(eval.position_buckets == 8);
  CHECK(eval.batch == 4);
  // One segment at least, none longer than a document, never more than eval.max_tokens.
  CHECK(after_training_config(config, 5000, 100).eval.max_tokens == 1000);
  CHECK(after_training_config(config, 500, 100).eval.lengths == std::vector<int64_t>{500});
  config.eval.max_tokens = 4000;
  CHECK(after_training_config(config, 5000, 200'000).eval.max_tokens == 4000);
  // The longest length that the user asked for.
  config.eval.lengths = {500, 3000, 2000};
  config.given = {"eval.lengths"};
  CHECK(after_training_config(config, 5000, 100).eval.lengths == std::vector<int64_t>{3000});
}

TEST_CASE("an evaluation after training that cannot be made is told and nothing else", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.data.validation = {{write_tokens(folder / "val.tokens", {random_document(90, 5)}), 1.0}};
  Session session;
  session.communicator = make_communicator(config.distributed, torch::kCPU);
  auto model = tiny_llama(3, tiny_cache());
  const auto before = snapshot(model);
  const auto said = [&](int64_t trained) {
    return stderr_of([&] {
      configure_log(LogLevel::kInfo, /*is_main_rank=*/true);
      evaluate_after_training(config, session, model, trained, "runs/x/step-00000040");
    });
  };
  CHECK_CONTAINS(said(1000), "NLL by position");
  CHECK(said(0).empty());
  config.data.validation.front().path = folder / "missing";
  const std::string line = said(1000);
  CHECK_CONTAINS(line, "no evaluation after training: ");
  CHECK_CONTAINS(line, "its checkpoint runs/x/step-00000040 is good");
  config.eval.after_training = false;
  CHECK(said(1000).empty());
  CHECK(same_bits(snapshot(model), before));
}
