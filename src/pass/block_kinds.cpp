#include "pass/block_kinds.h"

namespace lococo {

void BlockKinds::run(Llama& model, const BlockStep& step, torch::Device device, bool may_record,
                     const std::function<void(const AttentionInput&)>& work) {
  Kind& kind = kinds_[{step.cached, step.length(), step.compress, step.detach_keys}];
  refresh_tables(model, step, device, kind);
  kind.work.run(may_record, [&] { work(kind.input); });
}

void BlockKinds::refresh_tables(Llama& model, const BlockStep& step, torch::Device device,
                                Kind& kind) {
  const bool first = kind.work.runs() == 0;
  // Unrotated keys turn by slot number: the tables of a kind never change.
  const bool moves = model->cache_config().keys == KeyKind::kRotated;
  if (!first && !moves) return;
  auto fresh = model->block_input(step, device);
  if (first) {
    kind.input = fresh;
    return;
  }
  kind.input.queries.cos_LD.copy_(fresh.queries.cos_LD);
  kind.input.queries.sin_LD.copy_(fresh.queries.sin_LD);
}

}  // namespace lococo
