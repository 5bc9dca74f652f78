#include "pass/teaching_pass.h"

#include <algorithm>
#include <cmath>

#include "config/taught_cache.h"
#include "core/hash.h"
#include "pass/distillation.h"

namespace lococo {
namespace {

torch::Tensor counted(const torch::Tensor& kinds) {
  return kinds != static_cast<int64_t>(TargetKind::kIgnored);
}

/// The base as it was before LoRA, for as long as this lives.
class WithoutLora {
 public:
  explicit WithoutLora(Llama& model) : model_(model) { model_->use_lora(false); }
  ~WithoutLora() { model_->use_lora(true); }
  WithoutLora(const WithoutLora&) = delete;
  WithoutLora& operator=(const WithoutLora&) = delete;

 private:
  Llama& model_;
};

class TeachingPass : public SequencePass {
 public:
  explicit TeachingPass(const Config& config)
      : config_(config),
        hard_(make_blockwise_pass(config.cache, config.train.loss_chunk, config.train.cuda_graphs)),
        cache_(soft_cache_of_step(config, 0)) {}

  bool wants_kinds() const override { return true; }
  void begin_step(int64_t step) override { cache_ = soft_cache_of_step(config_, step); }

  PassResult train(Llama& model, const Batch& batch) override {
    const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1) - 1;
    const auto inputs_BT = batch.tokens_BT.narrow(/*dim=*/1, 0, T);
    const auto teacher_XE = teacher(model, inputs_BT).flatten(0, 1);
    const auto hidden_XE = model->forward_softly(inputs_BT, cache_).flatten(0, 1);
    const auto kinds_BT = batch.kinds_BT.defined()
                              ? batch.kinds_BT
                              : torch::full({B, T}, static_cast<int64_t>(TargetKind::kText),
                                            batch.tokens_BT.options().dtype(torch::kUInt8));
    const auto targets_X = batch.tokens_BT.narrow(/*dim=*/1, 1, T).reshape({-1});
    const auto weights_X = teaching_weights(kinds_BT, config_.teach).reshape({-1});
    const auto truth_X = answer_truth(kinds_BT.reshape({-1}), config_.teach);
    const auto loss = distillation_loss(hidden_XE, teacher_XE, model->head_weight(),
                                        config_.train.loss_chunk, {weights_X, targets_X, truth_X});
    if (loss.requires_grad()) loss.backward();
    // On the device until here, so that the wait for this number comes when all work is queued.
    return {loss.detach(), counted(kinds_BT).sum().item<int64_t>()};
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    return hard_->evaluate(model, tokens_BT);
  }

 private:
  static torch::Tensor teacher(Llama& model, const torch::Tensor& inputs_BT) {
    torch::NoGradGuard no_grad;
    const WithoutLora base(model);
    return model->forward(inputs_BT);
  }

  Config config_;
  std::unique_ptr<SequencePass> hard_;
  SoftCache cache_;
};

}  // namespace

SoftCache soft_cache_of_step(const Config& config, int64_t step) {
  const TeachConfig& teach = config.teach;
  const auto draw = hash_u64(config.train.seed, static_cast<uint64_t>(step), 0x736c6f7473);
  const CacheConfig cache = taught_cache(config.cache, teach.slots[draw % teach.slots.size()]);

  SoftCache soft;
  soft.keep.sinks = cache.sinks;
  soft.keep.local = cache.local;
  soft.keep.alone = cache.alone_slots();
  soft.keep.massed = cache.massed_slots();
  const double last = static_cast<double>(std::max<int64_t>(1, config.train.steps - 1));
  const double way = std::min(1.0, static_cast<double>(step) / last);
  soft.keep.temperature =
      teach.temperature * std::pow(teach.final_temperature / teach.temperature, way);
  soft.block = teach.block > 0 ? teach.block : cache.slots;
  soft.score_decay = cache.score_decay;
  soft.score_distance = std::min(cache.score_distance, cache.local);
  return soft;
}

torch::Tensor teaching_weights(const torch::Tensor& kinds_BT, const TeachConfig& teach) {
  torch::NoGradGuard no_grad;
  const auto is = [&](TargetKind kind) { return kinds_BT == static_cast<int64_t>(kind); };
  const auto counts_BT = counted(kinds_BT).to(torch::kFloat32);
  const auto weight_BT = counts_BT + (teach.far_weight - 1.0) * is(TargetKind::kFar);
  const auto answer_BT = is(TargetKind::kAnswer).to(torch::kFloat32);
  const auto of_row = [](const torch::Tensor& x_BT) {
    return x_BT.sum(/*dim=*/1, /*keepdim=*/true);
  };
  const auto share = [&](const torch::Tensor& x_BT) { return x_BT / of_row(x_BT).clamp_min(1.0); };
  return of_row(counts_BT) * (share(weight_BT) + teach.answer_weight * share(answer_BT));
}

torch::Tensor answer_truth(const torch::Tensor& kinds_X, const TeachConfig& teach) {
  if (teach.answer_truth == 0.0) return {};
  const auto is_answer_X = kinds_X == static_cast<int64_t>(TargetKind::kAnswer);
  return teach.answer_truth * is_answer_X.to(torch::kFloat32);
}

std::unique_ptr<SequencePass> make_teaching_pass(const Config& config) {
  return std::make_unique<TeachingPass>(config);
}

}  // namespace lococo
