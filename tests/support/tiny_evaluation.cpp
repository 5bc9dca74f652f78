#include "tests/support/tiny_evaluation.h"

#include <memory>
#include <string>

#include "tensor/kit/torch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"

namespace lococo::testing {

Config evaluation_config(std::vector<int64_t> lengths) {
  Config config;
  config.cache = tiny_cache();
  config.eval.lengths = std::move(lengths);
  config.eval.far = 3;
  config.distributed.backend = CommBackend::kSingle;
  return config;
}

std::vector<LengthResult> evaluate(const Config& config, const TokenDocuments& documents,
                                   Llama model, Communicator& communicator) {
  const TemporaryFolder folder;
  const auto file =
      std::make_shared<const TokenFile>(write_tokens(folder / "validation.tokens", documents));
  return Evaluator(config, {file}).evaluate(model, torch::kCPU, communicator);
}

std::vector<LengthResult> evaluate(const Config& config, const TokenDocuments& documents,
                                   Llama model) {
  const auto communicator = make_communicator(config.distributed, torch::kCPU);
  return evaluate(config, documents, model, *communicator);
}

PooledMean pool_all(const std::vector<SegmentScore>& segments) {
  return pool(segments, &SegmentScore::nll_sum, &SegmentScore::targets);
}

}  // namespace lococo::testing
