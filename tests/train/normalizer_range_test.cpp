#include "train/normalizer_range.h"

#include "core/log.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

RegisteredParameter parameter(const torch::Tensor& tensor, ParameterGroup group, bool trainable) {
  RegisteredParameter result;
  result.tensor = tensor;
  result.group = group;
  result.trainable = trainable;
  return result;
}

/// Every normalizer of a tiny model after steps so large that they leave [0, 1].
std::vector<torch::Tensor> normalizers_after(NormalizerRange range) {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.tune.normalizer = 3.0;
  config.cache.normalizer_range = range;
  TinyRun run(config);
  run.trainer->train();
  std::vector<torch::Tensor> normalizers;
  for (const auto& item : run.model->named_parameters()) {
    if (item.key().ends_with("normalizer")) normalizers.push_back(item.value().detach().clone());
  }
  return normalizers;
}

}  // namespace

TEST_CASE("trained normalizers are put onto [0, 1], both ends included", "[train]") {
  const auto first = torch::tensor({-0.5F, 0.25F, 0.0F}), second = torch::tensor({1.5F, 1.0F});
  const auto frozen = torch::tensor({3.0F}), conv = torch::tensor({-2.0F});
  clamp_normalizers({parameter(first, ParameterGroup::kNormalizer, true),
                     parameter(second, ParameterGroup::kNormalizer, true),
                     parameter(frozen, ParameterGroup::kNormalizer, false),
                     parameter(conv, ParameterGroup::kConv, true)});
  CHECK(torch::equal(first, torch::tensor({0.0F, 0.25F, 0.0F})));
  CHECK(torch::equal(second, torch::tensor({1.0F, 1.0F})));
  CHECK(frozen.item<float>() == 3.0F);
  CHECK(conv.item<float>() == -2.0F);
  clamp_normalizers({});
}

TEST_CASE("a normalizer that has left [0, 1] is told once it is looked at", "[train]") {
  const auto warning_of = [](const std::vector<RegisteredParameter>& parameters) {
    const auto alone = make_single_communicator();
    return normalizer_warning(spread_over(*alone, spread_of_normalizers(parameters)));
  };
  const auto at_ends = parameter(torch::tensor({0.0F, 1.0F}), ParameterGroup::kNormalizer, true);
  CHECK(warning_of({at_ends}).empty());
  CHECK(warning_of({}).empty());
  const auto line = warning_of(
      {at_ends, parameter(torch::tensor({-0.25F, 0.5F}), ParameterGroup::kNormalizer, true)});
  CHECK_CONTAINS(line, "1 of 4 normalizers have left [0, 1] (-0.250 to 1.000)");
  CHECK_CONTAINS(line, "cache.normalizer_range");
}

TEST_CASE("normalizer_range unit holds a training inside [0, 1], unbounded does not", "[train]") {
  const auto inside = normalizers_after(NormalizerRange::kUnit);
  REQUIRE(inside.size() == 2);
  for (const auto& normalizer : inside) {
    CHECK(normalizer.min().item<float>() >= 0.0F);
    CHECK(normalizer.max().item<float>() <= 1.0F);
  }
  bool left = false;
  for (const auto& normalizer : normalizers_after(NormalizerRange::kUnbounded))
    left |= normalizer.min().item<float>() < 0.0F || normalizer.max().item<float>() > 1.0F;
  CHECK(left);
}

TEST_CASE("a training says once that normalizers have left [0, 1]", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_run_config(folder.path());
  config.tune.normalizer = 3.0;
  TinyRun run(config);
  const auto said = stderr_of([&] {
    configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
    run.trainer->train();
  });
  const size_t first = said.find("have left [0, 1]");
  CHECK(first != std::string::npos);
  CHECK(said.find("have left [0, 1]", first + 1) == std::string::npos);
}
