#include "pass/block_kinds.h"

#include <optional>

namespace lococo {

BlockKinds::Kind& BlockKinds::kind_of(Llama& model, const BlockStep& step, torch::Device device) {
  // Keys that turn by slot number have tables that never change.
  const CacheConfig& cache = model->cache_config();
  const bool moves = cache.caches_rotated() || cache.turns_by_place();
  std::optional<AttentionInput> fresh;
  if (moves) fresh = model->block_input(step, device);
  const int64_t places = fresh && fresh->frame_2.defined() ? fresh->keys.cos_LD.size(0) : 0;
  Kind& kind = kinds_[{step.cached, step.length(), step.compress, step.detach_keys, places}];
  if (kind.work.runs() == 0) {
    kind.input = fresh ? *fresh : model->block_input(step, device);
  } else if (fresh) {
    refresh(*fresh, &kind.input);
  }
  return kind;
}

void BlockKinds::run(Llama& model, const BlockStep& step, torch::Device device, bool may_record,
                     const std::function<void(const AttentionInput&)>& work) {
  Kind& kind = kind_of(model, step, device);
  kind.work.run(may_record, [&] { work(kind.input); });
}

void BlockKinds::refresh(const AttentionInput& fresh, AttentionInput* kept) {
  if (fresh.frame_2.defined()) kept->frame_2.copy_(fresh.frame_2);
  kept->queries.cos_LD.copy_(fresh.queries.cos_LD);
  kept->queries.sin_LD.copy_(fresh.queries.sin_LD);
}

}  // namespace lococo
