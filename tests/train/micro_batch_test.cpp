#include "train/micro_batch.h"

#include "core/target_kind.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("rows of other lengths are padded with targets that are ignored", "[train]") {
  const std::vector<TrainingSequence> sequences = {{{5, 6, 7}, {3, 1}, {{0, 2}}},
                                                   {{8, 9, 10, 11, 12}, {0, 3, 3, 3}, {{0, 3}}}};
  CHECK(padded_length(sequences, /*step=*/1, /*most=*/64) == 4);
  CHECK(padded_length(sequences, /*step=*/8, /*most=*/64) == 8);
  CHECK(padded_length(sequences, /*step=*/8, /*most=*/6) == 6);
  CHECK(padded_length(sequences, /*step=*/8, /*most=*/4) == 4);
  const Batch batch = micro_batch(sequences, /*T=*/6, torch::kCPU);
  CHECK(torch::equal(batch.tokens_BT,
                     torch::tensor({{5, 6, 7, 0, 0, 0, 0}, {8, 9, 10, 11, 12, 0, 0}})));
  const auto kinds_BT = torch::tensor({{3, 1, 0, 0, 0, 0}, {0, 3, 3, 3, 0, 0}});
  CHECK(torch::equal(batch.kinds_BT, kinds_BT.to(torch::kUInt8)));
  CHECK(static_cast<int>(TargetKind::kIgnored) == 0);
  REQUIRE(batch.documents);
  REQUIRE(batch.documents->rows.size() == 2);
  CHECK(batch.documents->rows[1].front().end == 3);
}

TEST_CASE("sequences of one length without kinds are a batch of tokens alone", "[train]") {
  const std::vector<TrainingSequence> sequences = {{{1, 2, 3}, {}}, {{4, 5, 6}, {}}};
  const Batch batch = micro_batch(sequences, padded_length(sequences, 1, 2), torch::kCPU);
  CHECK(torch::equal(batch.tokens_BT, torch::tensor({{1, 2, 3}, {4, 5, 6}})));
  CHECK_FALSE(batch.kinds_BT.defined());
  CHECK_FALSE(batch.documents);
}
