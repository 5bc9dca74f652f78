#include "soft/soft_cache_fused.h"

#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <array>
#include <cmath>
#include <vector>

#include "soft/mass_score.h"
#include "soft/soft_blocks.h"
#include "tensor/attention/attention_reference.h"
#include "tensor/attention/column_mass.h"

namespace lococo {
namespace {

using torch::Tensor;

constexpr int64_t kMoreChannels = 8, kBiasChannels = 2;
constexpr int64_t kMostChannels = 256 - kMoreChannels;

/// x_BNTD as [B, T, N, D + 8], the new channels `filled`.
Tensor widened(const Tensor& x_BNTD, double filled) {
  const int64_t D = x_BNTD.size(3);
  auto wide = torch::zeros({x_BNTD.size(0), x_BNTD.size(2), x_BNTD.size(1), D + kMoreChannels},
                           x_BNTD.options().requires_grad(false));
  wide.narrow(/*dim=*/3, 0, D).copy_(x_BNTD.transpose(1, 2));
  if (filled != 0.0) wide.narrow(/*dim=*/3, D, kBiasChannels).fill_(filled);
  return wide;
}

/// What the backward pass needs of one block. Undefined tensors: nothing was compressed.
struct BlockMemory {
  SoftBlock block;
  Tensor out_BLHC, lse_BHL, seed, offset;
  Tensor log_keep_BGS, log_mass_BGS;
};

/// A layer's sequence between forward and backward; owns the shared buffers.
struct Sequence : torch::CustomClassHolder {
  SoftCache cache;
  int64_t channels = 0;  // D
  Tensor q_BTHC, k_BTGC, v_BTGC, score_BGT, mass_weight_G;
  std::vector<BlockMemory> blocks;

  double scale() const { return 1.0 / std::sqrt(static_cast<double>(channels)); }

  Tensor keys(const SoftBlock& block) const { return k_BTGC.narrow(/*dim=*/1, 0, block.end); }
  Tensor values(const SoftBlock& block) const { return v_BTGC.narrow(/*dim=*/1, 0, block.end); }
  Tensor queries(const SoftBlock& block) const {
    return q_BTHC.narrow(/*dim=*/1, block.begin, block.length());
  }

  /// The keys' terms for a block, in the channels that all blocks share and that another block has
  /// written before: the block's own keys have none.
  void set_bias(const BlockMemory& memory) const {
    keys(memory.block).narrow(/*dim=*/3, channels, kBiasChannels).zero_();
    if (!memory.log_keep_BGS.defined()) return;
    const auto past = k_BTGC.narrow(/*dim=*/1, 0, memory.block.begin);
    const auto scaled_BSG = (memory.log_keep_BGS * (1.0 / scale())).transpose(1, 2);
    const auto first = past.select(/*dim=*/3, channels).copy_(scaled_BSG);
    past.select(/*dim=*/3, channels + 1).copy_(scaled_BSG - first);
  }

  Tensor massed(const Tensor& score_BGS, const Tensor& log_mass_BGS) const {
    if (!log_mass_BGS.defined()) return {};
    return score_BGS + mass_weight_G.unsqueeze(-1) * log_mass_BGS;
  }

  void attend(BlockMemory& memory) const {
    const auto& block = memory.block;
    set_bias(memory);
    if (!q_BTHC.is_cuda()) return attend_slowly(memory);
    auto result = at::_flash_attention_forward(
        queries(block), keys(block), values(block), /*cum_seq_q=*/std::nullopt,
        /*cum_seq_k=*/std::nullopt, block.length(), block.end, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false, scale());
    memory.out_BLHC = std::get<0>(result);
    memory.lse_BHL = std::get<1>(result);
    memory.seed = std::get<2>(result);
    memory.offset = std::get<3>(result);
  }

  /// Queries, keys and values of a block in the layout of attention.h, scaled for its scale.
  std::array<Tensor, 3> heads_of(const SoftBlock& block) const {
    const double wide = std::sqrt(static_cast<double>(channels + kMoreChannels));
    return {(queries(block) * (scale() * wide)).transpose(1, 2), keys(block).transpose(1, 2),
            values(block).transpose(1, 2)};
  }

  void attend_slowly(BlockMemory& memory) const {
    const auto [q, k, v] = heads_of(memory.block);
    const auto attention = reference_attention(q, k, v);
    memory.out_BLHC = attention.out_BHLD.transpose(1, 2);
    memory.lse_BHL = attention.lse_BHL;
  }

  /// Gradients of queries, keys and values of a block, [B, ., ., D + 8].
  std::array<Tensor, 3> attention_gradient(const BlockMemory& memory,
                                           const Tensor& d_out_BLHC) const {
    const auto& block = memory.block;
    if (!q_BTHC.is_cuda()) return attention_gradient_slowly(block, d_out_BLHC);
    const auto [dq, dk, dv] = at::_flash_attention_backward(
        d_out_BLHC, queries(block), keys(block), values(block), memory.out_BLHC, memory.lse_BHL,
        Tensor(), Tensor(), block.length(), block.end, /*dropout_p=*/0.0, /*is_causal=*/true,
        memory.seed, memory.offset, scale());
    return {dq, dk, dv};
  }

  std::array<Tensor, 3> attention_gradient_slowly(const SoftBlock& block,
                                                  const Tensor& d_out_BLHC) const {
    torch::AutoGradMode on(true);
    auto heads = heads_of(block);
    for (auto& x : heads) x = x.detach().requires_grad_();
    const auto out = reference_attention(heads[0], heads[1], heads[2]).out_BHLD;
    const auto found =
        torch::autograd::grad({out}, {heads[0], heads[1], heads[2]}, {d_out_BLHC.transpose(1, 2)});
    const double wide = std::sqrt(static_cast<double>(channels + kMoreChannels));
    return {found[0].transpose(1, 2) * (scale() * wide), found[1].transpose(1, 2),
            found[2].transpose(1, 2)};
  }

  /// What the block's queries paid to each key, the term of the block counted in.
  Tensor mass_of(const BlockMemory& memory) const {
    const auto heads = [&](const Tensor& x_BTNC) {
      return x_BTNC.narrow(/*dim=*/3, 0, channels).transpose(1, 2);
    };
    auto mass_BGS = column_mass(heads(queries(memory.block)), heads(keys(memory.block)),
                                memory.lse_BHL, /*prior_mass_BGM=*/{}, cache.score_distance);
    if (memory.log_keep_BGS.defined())
      mass_BGS.narrow(/*dim=*/2, 0, memory.block.begin).mul_(memory.log_keep_BGS.exp());
    return mass_BGS;
  }
};

struct Gradients {
  Tensor q_BTHC, k_BTGC, v_BTGC, score_BGT, mass_weight_G;
};

/// Through the choice of one block: d log keep -> score and mass weight.
void add_choice_gradient(const Sequence& sequence, const BlockMemory& memory,
                         const Tensor& d_log_keep_BGS, Gradients* sums) {
  const int64_t S = memory.block.begin;
  const auto score = sequence.score_BGT.narrow(/*dim=*/2, 0, S).contiguous();
  Tensor score_leaf, massed_leaf, log_keep;
  {
    torch::AutoGradMode on(true);
    score_leaf = score.detach().requires_grad_();
    if (memory.log_mass_BGS.defined())
      massed_leaf = sequence.massed(score, memory.log_mass_BGS).detach().requires_grad_();
    log_keep = soft_keep(score_leaf, massed_leaf, sequence.cache.keep);
  }
  if (!log_keep.requires_grad()) return;
  std::vector<Tensor> inputs = {score_leaf};
  if (massed_leaf.defined()) inputs.push_back(massed_leaf);
  const auto found = torch::autograd::grad({log_keep}, inputs, {d_log_keep_BGS},
                                           /*retain_graph=*/std::nullopt, /*create_graph=*/false,
                                           /*allow_unused=*/true);
  auto of_score_BGS = sums->score_BGT.narrow(/*dim=*/2, 0, S);
  for (const auto& gradient : found)
    if (gradient.defined()) of_score_BGS.add_(gradient);
  if (found.size() > 1 && found[1].defined())
    sums->mass_weight_G.add_((found[1] * memory.log_mass_BGS).sum(at::IntArrayRef({0, 2})));
}

void add_block_gradient(const Sequence& sequence, const BlockMemory& memory,
                        const Tensor& d_out_BTHC, Gradients* sums) {
  const auto& block = memory.block;
  const int64_t D = sequence.channels;
  sequence.set_bias(memory);
  const auto [dq, dk, dv] = sequence.attention_gradient(
      memory, d_out_BTHC.narrow(/*dim=*/1, block.begin, block.length()));
  sums->q_BTHC.narrow(/*dim=*/1, block.begin, block.length()).copy_(dq);
  sums->k_BTGC.narrow(/*dim=*/1, 0, block.end).add_(dk.narrow(/*dim=*/3, 0, D));
  sums->v_BTGC.narrow(/*dim=*/1, 0, block.end).add_(dv.narrow(/*dim=*/3, 0, D));
  if (!memory.log_keep_BGS.defined()) return;
  const auto d_bias_BSG = dk.narrow(/*dim=*/1, 0, block.begin).select(/*dim=*/3, D);
  const auto d_log_keep_BGS =
      (d_bias_BSG.to(sequence.score_BGT.scalar_type()) * (1.0 / sequence.scale()))
          .transpose(1, 2)
          .contiguous();
  add_choice_gradient(sequence, memory, d_log_keep_BGS, sums);
}

struct SoftCacheFunction : torch::autograd::Function<SoftCacheFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& q_BHTD,
                        const Tensor& k_BGTD, const Tensor& v_BGTD, const Tensor& score_BGT,
                        const Tensor& mass_weight_G, const SoftCache& cache) {
    torch::NoGradGuard no_grad;
    auto sequence = c10::make_intrusive<Sequence>();
    sequence->cache = cache;
    sequence->channels = q_BHTD.size(3);
    sequence->q_BTHC = widened(q_BHTD, /*filled=*/1.0);
    sequence->k_BTGC = widened(k_BGTD, 0.0);
    sequence->v_BTGC = widened(v_BGTD, 0.0);
    sequence->score_BGT = score_BGT.detach().contiguous();
    sequence->mass_weight_G = mass_weight_G.detach();
    SoftMass mass(cache);
    std::vector<Tensor> outputs;
    for (const auto& block : soft_blocks(cache, q_BHTD.size(2))) {
      BlockMemory memory;
      memory.block = block;
      if (block.compresses) {
        const auto score_BGS = sequence->score_BGT.narrow(/*dim=*/2, 0, block.begin).contiguous();
        if (mass.wanted()) memory.log_mass_BGS = log_of_mass(mass.now());
        memory.log_keep_BGS =
            soft_keep(score_BGS, sequence->massed(score_BGS, memory.log_mass_BGS), cache.keep);
      }
      sequence->attend(memory);
      if (mass.wanted()) mass.add(block, sequence->mass_of(memory));
      outputs.push_back(memory.out_BLHC.narrow(/*dim=*/3, 0, sequence->channels));
      sequence->blocks.push_back(std::move(memory));
    }
    context->saved_data["sequence"] = c10::IValue::make_capsule(sequence);
    return torch::cat(outputs, /*dim=*/1).transpose(1, 2);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    torch::NoGradGuard no_grad;
    const auto capsule = context->saved_data["sequence"].toCapsule();
    const auto& sequence = *static_cast<const Sequence*>(capsule.get());
    const auto d_out_BTHC = widened(gradients[0], 0.0);
    const auto floats = sequence.score_BGT.options();
    const int64_t D = sequence.channels;
    const auto keys_like = [&](const Tensor& x_BTGC) {
      return torch::zeros({x_BTGC.size(0), x_BTGC.size(1), x_BTGC.size(2), D}, floats);
    };
    Gradients sums = {torch::empty_like(sequence.q_BTHC), keys_like(sequence.k_BTGC),
                      keys_like(sequence.v_BTGC), torch::zeros_like(sequence.score_BGT),
                      torch::zeros_like(sequence.mass_weight_G)};
    for (const auto& memory : sequence.blocks)
      add_block_gradient(sequence, memory, d_out_BTHC, &sums);
    const auto dtype = sequence.k_BTGC.scalar_type();
    return {sums.q_BTHC.narrow(/*dim=*/3, 0, D).transpose(1, 2),
            sums.k_BTGC.to(dtype).transpose(1, 2),
            sums.v_BTGC.to(dtype).transpose(1, 2),
            sums.score_BGT,
            sums.mass_weight_G,
            Tensor()};
  }
};

}  // namespace

bool takes_fused_soft_cache(const SoftAttentionInput& input) {
  const int64_t D = input.q_BHTD.size(3);
  const bool flash =
      input.backend == AttentionBackend::kAuto || input.backend == AttentionBackend::kFlash;
  return flash && input.q_BHTD.is_cuda() && input.q_BHTD.scalar_type() == torch::kBFloat16 &&
         D % 8 == 0 && D <= kMostChannels;
}

torch::Tensor soft_cache_attention_fused(const SoftAttentionInput& input, const SoftCache& cache,
                                         const torch::Tensor& score_BGT,
                                         const torch::Tensor& mass_weight_G) {
  return SoftCacheFunction::apply(input.q_BHTD, input.k_BGTD, input.v_BGTD, score_BGT,
                                  mass_weight_G, cache);
}

}  // namespace lococo
