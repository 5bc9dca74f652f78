#include "soft/soft_cache_fused.h"

#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <array>
#include <cmath>
#include <vector>

#include "soft/soft_blocks.h"
#include "soft/soft_choice.h"
#include "soft/soft_steps.h"
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
  SoftChoice choice;
  Tensor mass_BGM;  ///< that the choice was made by
};

/// Keys and values that queries of all blocks see, [B, T, ., D + 8]: of groups of heads going
/// forward; going back of single heads, which saves FlashAttention a sum of its own.
struct SharedKeys {
  Tensor k_BTGC, v_BTGC;

  Tensor keys(const SoftBlock& block) const { return k_BTGC.narrow(/*dim=*/1, 0, block.end); }
  Tensor values(const SoftBlock& block) const { return v_BTGC.narrow(/*dim=*/1, 0, block.end); }
  SharedKeys of_heads(int64_t heads) const {
    if (heads == 1) return *this;
    return {k_BTGC.repeat_interleave(heads, /*dim=*/2), v_BTGC.repeat_interleave(heads, 2)};
  }
};

/// A layer's sequence between forward and backward; owns the shared buffers.
struct Sequence : torch::CustomClassHolder {
  SoftCache cache;
  int64_t channels = 0;  // D
  Tensor q_BTHC, score_BGT, mass_weight_G;
  SharedKeys shared;
  std::vector<BlockMemory> blocks;

  double scale() const { return 1.0 / std::sqrt(static_cast<double>(channels)); }

  Tensor queries(const SoftBlock& block) const {
    return q_BTHC.narrow(/*dim=*/1, block.begin, block.length());
  }

  /// The keys' terms for a block, in the channels that all blocks share and that another block has
  /// written before: the block's own keys have none.
  void set_terms(const SharedKeys& to, const BlockMemory& memory) const {
    write_key_terms(to.keys(memory.block), memory.choice.log_keep_BGS, channels, scale());
  }

  BlockScores scores(const BlockMemory& memory) const {
    return block_scores(score_BGT, memory.mass_BGM, mass_weight_G, memory.block.begin);
  }

  void choose(BlockMemory& memory, const Tensor& mass_BGM) const {
    memory.mass_BGM = mass_BGM;
    const auto by = scores(memory);
    memory.choice = choose_softly(by.score_BGM, by.massed_BGM, cache.keep);
  }

  void attend(BlockMemory& memory) const {
    const auto& block = memory.block;
    set_terms(shared, memory);
    if (!q_BTHC.is_cuda()) return attend_slowly(memory);
    auto result = at::_flash_attention_forward(
        queries(block), shared.keys(block), shared.values(block), /*cum_seq_q=*/std::nullopt,
        /*cum_seq_k=*/std::nullopt, block.length(), block.end, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false, scale());
    memory.out_BLHC = std::get<0>(result);
    memory.lse_BHL = std::get<1>(result);
    memory.seed = std::get<2>(result);
    memory.offset = std::get<3>(result);
  }

  /// Queries, keys and values of a block in the layout of attention.h, scaled for its scale.
  std::array<Tensor, 3> heads_of(const SharedKeys& from, const SoftBlock& block) const {
    const double wide = std::sqrt(static_cast<double>(channels + kMoreChannels));
    return {(queries(block) * (scale() * wide)).transpose(1, 2), from.keys(block).transpose(1, 2),
            from.values(block).transpose(1, 2)};
  }

  void attend_slowly(BlockMemory& memory) const {
    const auto [q, k, v] = heads_of(shared, memory.block);
    const auto attention = reference_attention(q, k, v);
    memory.out_BLHC = attention.out_BHLD.transpose(1, 2);
    memory.lse_BHL = attention.lse_BHL;
  }

  /// Gradients of queries, keys and values of a block, [B, ., H, D + 8].
  std::array<Tensor, 3> attention_gradient(const SharedKeys& from, const BlockMemory& memory,
                                           const Tensor& d_out_BLHC) const {
    const auto& block = memory.block;
    if (!q_BTHC.is_cuda()) return attention_gradient_slowly(from, block, d_out_BLHC);
    const auto [dq, dk, dv] = at::_flash_attention_backward(
        d_out_BLHC, queries(block), from.keys(block), from.values(block), memory.out_BLHC,
        memory.lse_BHL, Tensor(), Tensor(), block.length(), block.end, /*dropout_p=*/0.0,
        /*is_causal=*/true, memory.seed, memory.offset, scale());
    return {dq, dk, dv};
  }

  std::array<Tensor, 3> attention_gradient_slowly(const SharedKeys& from, const SoftBlock& block,
                                                  const Tensor& d_out_BLHC) const {
    torch::AutoGradMode on(true);
    auto heads = heads_of(from, block);
    for (auto& x : heads) x = x.detach().requires_grad_();
    const auto out = reference_attention(heads[0], heads[1], heads[2]).out_BHLD;
    const auto found =
        torch::autograd::grad({out}, {heads[0], heads[1], heads[2]}, {d_out_BLHC.transpose(1, 2)});
    const double wide = std::sqrt(static_cast<double>(channels + kMoreChannels));
    return {found[0].transpose(1, 2) * (scale() * wide), found[1].transpose(1, 2),
            found[2].transpose(1, 2)};
  }

  /// What each key has received up to the block's last query.
  Tensor mass_after(const BlockMemory& memory, const Tensor& earlier_BGM) const {
    const auto heads = [&](const Tensor& x_BTNC) {
      return x_BTNC.narrow(/*dim=*/3, 0, channels).transpose(1, 2);
    };
    // The column sums' logits know nothing of the term that all queries of the block share.
    const auto received_BGS =
        column_mass(heads(queries(memory.block)), heads(shared.keys(memory.block)), memory.lse_BHL,
                    /*prior_mass_BGM=*/{}, cache.score_distance);
    add_mass(received_BGS, memory.choice.log_keep_BGS, earlier_BGM, memory.block.fading);
    return received_BGS;
  }
};

struct Gradients {
  Tensor q_BTHD, k_BTGD, v_BTGD, score_BGT, mass_weight_BG;

  explicit Gradients(const Sequence& of) {
    const auto& k = of.shared.k_BTGC;
    const auto floats = of.score_BGT.options();
    const int64_t B = k.size(0), T = k.size(1), G = k.size(2), D = of.channels;
    q_BTHD = torch::empty({B, T, of.q_BTHC.size(2), D}, of.q_BTHC.options());
    k_BTGD = torch::zeros({B, T, G, D}, floats);
    v_BTGD = torch::zeros({B, T, G, D}, floats);
    score_BGT = torch::zeros({B, G, T}, floats);
    mass_weight_BG = torch::zeros({B, G}, floats);
  }
};

void add_block_gradient(const Sequence& sequence, const SharedKeys& shared,
                        const BlockMemory& memory, const Tensor& d_out_BTHC, Gradients* sums) {
  const auto& block = memory.block;
  const int64_t begin = block.begin, length = block.length(), D = sequence.channels;
  sequence.set_terms(shared, memory);
  const auto [dq, dk, dv] =
      sequence.attention_gradient(shared, memory, d_out_BTHC.narrow(/*dim=*/1, begin, length));
  sums->q_BTHD.narrow(/*dim=*/1, begin, length).copy_(dq.narrow(/*dim=*/3, 0, D));
  const auto d_log_keep_BGM = add_key_gradients(dk, dv, sums->k_BTGD, sums->v_BTGD,
                                                block.compresses ? begin : 0, sequence.scale());
  if (!block.compresses) return;
  const auto by = sequence.scores(memory);
  const auto gradient = soft_choice_gradient(memory.choice, by.score_BGM, by.massed_BGM,
                                             d_log_keep_BGM, sequence.cache.keep);
  if (gradient.score_BGS.defined() || gradient.massed_BGS.defined())
    add_choice_gradients(gradient.score_BGS, gradient.massed_BGS, memory.mass_BGM, sums->score_BGT,
                         sums->mass_weight_BG);
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
    sequence->shared = {widened(k_BGTD, 0.0), widened(v_BGTD, 0.0)};
    sequence->score_BGT = score_BGT.detach().contiguous();
    sequence->mass_weight_G = mass_weight_G.detach().contiguous();
    Tensor mass_BGM;
    std::vector<Tensor> outputs;
    for (const auto& block : soft_blocks(cache, q_BHTD.size(2))) {
      BlockMemory memory;
      memory.block = block;
      if (block.compresses) sequence->choose(memory, mass_BGM);
      sequence->attend(memory);
      if (cache.keep.massed > 0) mass_BGM = sequence->mass_after(memory, mass_BGM);
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
    Gradients sums(sequence);
    const auto shared =
        sequence.shared.of_heads(sequence.q_BTHC.size(2) / sequence.shared.k_BTGC.size(2));
    for (const auto& memory : sequence.blocks)
      add_block_gradient(sequence, shared, memory, d_out_BTHC, &sums);
    const auto dtype = sequence.shared.k_BTGC.scalar_type();
    return {sums.q_BTHD.transpose(1, 2),           sums.k_BTGD.to(dtype).transpose(1, 2),
            sums.v_BTGD.to(dtype).transpose(1, 2), sums.score_BGT,
            sums.mass_weight_BG.sum(/*dim=*/0),    Tensor()};
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
