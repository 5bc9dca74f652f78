#include "soft/soft_cache_fused.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <span>
#include <vector>

#include "soft/soft_sequence.h"

namespace lococo {
namespace {

using torch::Tensor;

constexpr int64_t kMostChannels = 256 - kMoreChannels;

struct Gradients {
  Tensor q_BTHD, k_BTGD, v_BTGD, score_BGT, mass_weight_BG;

  explicit Gradients(const SoftSequence& of) {
    const auto& k = of.shared().k_BTGC;
    const auto floats = of.score_BGT().options();
    const int64_t B = k.size(0), T = k.size(1), G = k.size(2), D = of.channels();
    q_BTHD = torch::empty({B, T, of.q_BTHC().size(2), D}, of.q_BTHC().options());
    k_BTGD = torch::zeros({B, T, G, D}, floats);
    v_BTGD = torch::zeros({B, T, G, D}, floats);
    score_BGT = torch::zeros({B, G, T}, floats);
    mass_weight_BG = torch::zeros({B, G}, floats);
  }
};

void add_choice_gradient(const SoftSequence& sequence, const SoftBlockMemory& memory,
                         const Tensor& d_log_keep_BGM, Gradients* sums) {
  const auto by = sequence.scores(memory);
  const auto gradient = soft_choice_gradient(memory.choice, by.score_BGM, by.massed_BGM,
                                             d_log_keep_BGM, sequence.cache().keep);
  if (gradient.score_BGS.defined() || gradient.massed_BGS.defined())
    add_choice_gradients(gradient.score_BGS, gradient.massed_BGS, memory.mass_BGM, sums->score_BGT,
                         sums->mass_weight_BG);
}

/// Every choice is known now, so several blocks go at once.
void add_gradients(const SoftSequence& sequence, const WideKeys& shared,
                   std::span<const SoftBlockMemory> blocks, const Tensor& d_out_BTHC,
                   Gradients* sums) {
  const int64_t begin = blocks.front().block.begin, end = blocks.back().block.end;
  const auto [dq, dk, dv] = sequence.attention_gradients(shared, blocks, d_out_BTHC);
  sums->q_BTHD.narrow(/*dim=*/1, begin, end - begin)
      .copy_(dq.narrow(/*dim=*/3, 0, sequence.channels()));
  std::vector<int64_t> terms;
  for (const auto& memory : blocks)
    terms.push_back(memory.block.compresses ? memory.block.begin : 0);
  const auto d_log_keep =
      add_key_gradients(dk, dv, sums->k_BTGD, sums->v_BTGD, terms, sequence.scale());
  for (size_t n = 0; n < blocks.size(); ++n) {
    if (blocks[n].block.compresses) add_choice_gradient(sequence, blocks[n], d_log_keep[n], sums);
  }
}

struct SoftCacheFunction : torch::autograd::Function<SoftCacheFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& q_BHTD,
                        const Tensor& k_BGTD, const Tensor& v_BGTD, const Tensor& score_BGT,
                        const Tensor& mass_weight_G, const SoftCache& cache,
                        AttentionBackend backend) {
    torch::NoGradGuard no_grad;
    auto sequence = c10::make_intrusive<SoftSequence>(cache, q_BHTD, k_BGTD, v_BGTD, score_BGT,
                                                      mass_weight_G, backend);
    const auto out_BTHD = sequence->attend();
    context->saved_data["sequence"] = c10::IValue::make_capsule(sequence);
    return out_BTHD.transpose(1, 2);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    torch::NoGradGuard no_grad;
    const auto capsule = context->saved_data["sequence"].toCapsule();
    const auto& sequence = *static_cast<const SoftSequence*>(capsule.get());
    const auto d_out_BTHC = widened(gradients[0]);
    Gradients sums(sequence);
    const auto& groups = sequence.shared();
    const auto shared = groups.of_heads(sequence.q_BTHC().size(2) / groups.k_BTGC.size(2));
    std::span<const SoftBlockMemory> left = sequence.blocks();
    while (!left.empty()) {
      const auto some = left.first(std::min<size_t>(left.size(), kBlocksAtOnce));
      add_gradients(sequence, shared, some, d_out_BTHC, &sums);
      left = left.subspan(some.size());
    }
    const auto dtype = groups.k_BTGC.scalar_type();
    return {sums.q_BTHD.transpose(1, 2),
            sums.k_BTGD.to(dtype).transpose(1, 2),
            sums.v_BTGD.to(dtype).transpose(1, 2),
            sums.score_BGT,
            sums.mass_weight_BG.sum(/*dim=*/0),
            Tensor(),
            Tensor()};  // the last two: cache and backend
  }
};

}  // namespace

bool takes_fused_soft_cache(const SoftAttentionInput& input) {
  const int64_t D = input.q_BHTD.size(3);
  return input.backend != AttentionBackend::kReference && input.q_BHTD.is_cuda() &&
         input.q_BHTD.scalar_type() == torch::kBFloat16 && D % 8 == 0 && D <= kMostChannels;
}

torch::Tensor soft_cache_attention_fused(const SoftAttentionInput& input, const SoftCache& cache,
                                         const torch::Tensor& score_BGT,
                                         const torch::Tensor& mass_weight_G) {
  return SoftCacheFunction::apply(input.q_BHTD, input.k_BGTD, input.v_BGTD, score_BGT,
                                  mass_weight_G, cache, input.backend);
}

}  // namespace lococo
