#include "pass/block_kinds.h"

namespace lococo {

void BlockKinds::run(Llama& model, const BlockStep& step, torch::Device device, bool may_record,
                     const std::function<void(const AttentionInput&)>& work) {
  auto fresh = model->block_input(step, device);
  const int64_t places = fresh.frame_2.defined() ? fresh.keys.cos_LD.size(0) : 0;
  Kind& kind = kinds_[{step.cached, step.length(), step.compress, step.detach_keys, places}];
  refresh_tables(model, fresh, kind);
  kind.work.run(may_record, [&] { work(kind.input); });
}

void BlockKinds::refresh_tables(Llama& model, const AttentionInput& fresh, Kind& kind) {
  const bool first = kind.work.runs() == 0;
  if (first) {
    kind.input = fresh;
    return;
  }
  // Keys that turn by slot number have tables that never change.
  const bool moves = model->cache_config().keys == KeyKind::kRotated || fresh.frame_2.defined();
  if (!moves) return;
  if (fresh.frame_2.defined()) kind.input.frame_2.copy_(fresh.frame_2);
  kind.input.queries.cos_LD.copy_(fresh.queries.cos_LD);
  kind.input.queries.sin_LD.copy_(fresh.queries.sin_LD);
}

}  // namespace lococo
