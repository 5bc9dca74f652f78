#include "train/sequence_pass.h"

#include "lococo/step_plan.h"
#include "train/loss.h"

namespace lococo {
namespace {

torch::Tensor flat_rows(const torch::Tensor& hidden_BLE) {
  return hidden_BLE.reshape({-1, hidden_BLE.size(2)});
}

class BlockwisePass : public SequencePass {
 public:
  BlockwisePass(const CacheConfig& cache, int64_t loss_chunk)
      : cache_(cache), loss_chunk_(loss_chunk) {}

  PassResult train(Llama& model, const torch::Tensor& tokens_BT) const override {
    const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1) - 1;
    PassResult result;
    result.loss_sum = torch::zeros({}, torch::dtype(torch::kFloat32).device(tokens_BT.device()));
    auto caches = model->empty_caches();
    for (const auto& step : make_step_plan(cache_, T)) {
      const auto inputs_BL = tokens_BT.narrow(/*dim=*/1, step.begin, step.length());
      // The official code shifts inside each block, so a block's last query has no target.
      const int64_t scored = cache_.boundary_targets ? step.length() : step.length() - 1;
      auto hidden_BLE = model->forward_block(inputs_BL, step, caches);
      if (scored == 0) continue;
      const auto targets_X = tokens_BT.narrow(/*dim=*/1, step.begin + 1, scored).reshape({-1});
      const auto hidden_XE = flat_rows(hidden_BLE.narrow(/*dim=*/1, 0, scored));
      const auto loss =
          chunked_cross_entropy(hidden_XE, model->head_weight(), targets_X, loss_chunk_);
      // With the convolutions alone in training a block before the first compression depends on no
      // trained parameter.
      if (loss.requires_grad()) loss.backward();
      result.loss_sum += loss.detach();
      result.targets += B * scored;
    }
    return result;
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) const override {
    torch::NoGradGuard no_grad;
    const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1) - 1;
    auto caches = model->empty_caches();
    std::vector<torch::Tensor> nll_BL;
    for (const auto& step : make_step_plan(cache_, T)) {
      const auto hidden_BLE = model->forward_block(
          tokens_BT.narrow(/*dim=*/1, step.begin, step.length()), step, caches);
      const auto targets_X =
          tokens_BT.narrow(/*dim=*/1, step.begin + 1, step.length()).reshape({-1});
      nll_BL.push_back(
          target_nll(flat_rows(hidden_BLE), model->head_weight(), targets_X, loss_chunk_)
              .view({B, step.length()}));
    }
    return torch::cat(nll_BL, /*dim=*/1);
  }

 private:
  CacheConfig cache_;
  int64_t loss_chunk_;
};

class FullSequencePass : public SequencePass {
 public:
  FullSequencePass(int64_t loss_chunk, bool checkpoint_layers)
      : loss_chunk_(loss_chunk), checkpoint_layers_(checkpoint_layers) {}

  PassResult train(Llama& model, const torch::Tensor& tokens_BT) const override {
    const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1) - 1;
    const auto hidden_BTE = model->forward(tokens_BT.narrow(/*dim=*/1, 0, T), checkpoint_layers_);
    const auto targets_X = tokens_BT.narrow(/*dim=*/1, 1, T).reshape({-1});
    const auto loss =
        chunked_cross_entropy(flat_rows(hidden_BTE), model->head_weight(), targets_X, loss_chunk_);
    if (loss.requires_grad()) loss.backward();
    return {loss.detach(), B * T};
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) const override {
    torch::NoGradGuard no_grad;
    const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1) - 1;
    const auto hidden_BTE = model->forward(tokens_BT.narrow(/*dim=*/1, 0, T));
    const auto targets_X = tokens_BT.narrow(/*dim=*/1, 1, T).reshape({-1});
    return target_nll(flat_rows(hidden_BTE), model->head_weight(), targets_X, loss_chunk_)
        .view({B, T});
  }

 private:
  int64_t loss_chunk_;
  bool checkpoint_layers_;
};

}  // namespace

std::unique_ptr<SequencePass> make_blockwise_pass(const CacheConfig& cache, int64_t loss_chunk) {
  return std::make_unique<BlockwisePass>(cache, loss_chunk);
}

std::unique_ptr<SequencePass> make_full_sequence_pass(int64_t loss_chunk, bool checkpoint_layers) {
  return std::make_unique<FullSequencePass>(loss_chunk, checkpoint_layers);
}

bool is_blockwise(const Config& config) {
  if (config.train.pass != PassKind::kAuto) return config.train.pass == PassKind::kBlockwise;
  return config.cache.policy != CachePolicyKind::kNone;
}

std::unique_ptr<SequencePass> make_pass(const Config& config) {
  if (is_blockwise(config)) return make_blockwise_pass(config.cache, config.train.loss_chunk);
  return make_full_sequence_pass(config.train.loss_chunk, config.train.activation_checkpointing);
}

}  // namespace lococo
