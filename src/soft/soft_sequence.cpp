#include "soft/soft_sequence.h"

#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <utility>

#include "tensor/attention/attention.h"
#include "tensor/attention/attention_call.h"
#include "tensor/attention/attention_reference.h"
#include "tensor/attention/column_mass.h"

namespace lococo {
namespace {

using torch::Tensor;

/// The blocks' tensors one behind the other.
Tensor joined(std::span<const SoftBlockMemory> blocks, Tensor SoftBlockMemory::*part, int64_t dim) {
  if (blocks.size() == 1) return blocks.front().*part;
  std::vector<Tensor> parts;
  for (const auto& memory : blocks) parts.push_back(memory.*part);
  return torch::cat(parts, dim);
}

/// Ones in the pair of channels of each query's block. Blocks beyond the eighth take the pairs of
/// the first again: a layer's marks are three calls at most, however many blocks it has.
void mark_queries(const Tensor& q_BTHC, int64_t channels, int64_t block) {
  const auto marks_BTHP2 =
      q_BTHC.narrow(/*dim=*/3, channels, kMoreChannels)
          .unflatten(/*dim=*/3, {kBlocksAtOnce, kMoreChannels / kBlocksAtOnce});
  int64_t begin = 0;
  const auto mark = [&](int64_t cycles, int64_t first_pair, int64_t blocks, int64_t length) {
    const int64_t tokens = cycles * blocks * length;
    if (tokens == 0) return;
    marks_BTHP2.narrow(/*dim=*/1, begin, tokens)
        .unflatten(/*dim=*/1, {cycles, blocks, length})
        .narrow(/*dim=*/5, first_pair, blocks)
        .diagonal(/*offset=*/0, /*dim1=*/2, /*dim2=*/5)
        .fill_(1.0);
    begin += tokens;
  };
  const int64_t whole = q_BTHC.size(1) / block, last = whole % kBlocksAtOnce;
  mark(whole / kBlocksAtOnce, 0, kBlocksAtOnce, block);
  mark(/*cycles=*/1, 0, last, block);
  mark(/*cycles=*/1, last, /*blocks=*/1, q_BTHC.size(1) % block);
}

}  // namespace

WideKeys WideKeys::of_heads(int64_t heads) const {
  if (heads == 1) return *this;
  return {k_BTGC.repeat_interleave(heads, /*dim=*/2), v_BTGC.repeat_interleave(heads, 2)};
}

Tensor widened(const Tensor& x_BNTD) {
  const int64_t D = x_BNTD.size(3);
  auto wide = torch::zeros({x_BNTD.size(0), x_BNTD.size(2), x_BNTD.size(1), D + kMoreChannels},
                           x_BNTD.options().requires_grad(false));
  wide.narrow(/*dim=*/3, 0, D).copy_(x_BNTD.transpose(1, 2));
  return wide;
}

SoftSequence::SoftSequence(const SoftCache& cache, const Tensor& q_BHTD, const Tensor& k_BGTD,
                           const Tensor& v_BGTD, const Tensor& score_BGT,
                           const Tensor& mass_weight_G, AttentionBackend backend)
    : cache_(cache),
      backend_(backend),
      channels_(q_BHTD.size(3)),
      q_BTHC_(widened(q_BHTD)),
      score_BGT_(score_BGT.detach().contiguous()),
      mass_weight_G_(mass_weight_G.detach().contiguous()),
      shared_{widened(k_BGTD), widened(v_BGTD)} {
  for (const auto& block : soft_blocks(cache, q_BHTD.size(2))) {
    SoftBlockMemory memory;
    memory.block = block;
    memory.pair = static_cast<int64_t>(blocks_.size()) % kBlocksAtOnce;
    blocks_.push_back(std::move(memory));
  }
  mark_queries(q_BTHC_, channels_, cache.block);
}

double SoftSequence::scale() const { return 1.0 / std::sqrt(static_cast<double>(channels_)); }

Tensor SoftSequence::queries(int64_t begin, int64_t end) const {
  return q_BTHC_.narrow(/*dim=*/1, begin, end - begin);
}

Tensor SoftSequence::attend() {
  Tensor mass_BGM;
  std::vector<Tensor> outputs;
  for (auto& memory : blocks_) {
    if (memory.block.compresses) choose(memory, mass_BGM);
    attend_block(memory);
    if (cache_.keep.massed > 0) mass_BGM = mass_after(memory, mass_BGM);
    outputs.push_back(memory.out_BLHC.narrow(/*dim=*/3, 0, channels_));
  }
  return torch::cat(outputs, /*dim=*/1);
}

BlockScores SoftSequence::scores(const SoftBlockMemory& memory) const {
  return block_scores(score_BGT_, memory.mass_BGM, mass_weight_G_, memory.block.begin);
}

void SoftSequence::choose(SoftBlockMemory& memory, const Tensor& mass_BGM) const {
  memory.mass_BGM = mass_BGM;
  const auto by = scores(memory);
  memory.choice = choose_softly(by.score_BGM, by.massed_BGM, cache_.keep);
}

/// Other blocks have written into these channels before; the block's own keys have no term.
void SoftSequence::set_terms(const WideKeys& to, const SoftBlockMemory& memory) const {
  write_key_terms(to.keys(memory.block.end), memory.choice.log_keep_BGS,
                  channels_ + 2 * memory.pair, scale());
}

void SoftSequence::attend_block(SoftBlockMemory& memory) const {
  const auto& block = memory.block;
  set_terms(shared_, memory);
  if (!q_BTHC_.is_cuda()) return attend_on_cpu(memory);
  auto result = at::_flash_attention_forward(
      queries(block.begin, block.end), shared_.keys(block.end), shared_.values(block.end),
      /*cum_seq_q=*/std::nullopt, /*cum_seq_k=*/std::nullopt, block.length(), block.end,
      /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false, scale());
  memory.out_BLHC = std::get<0>(result);
  memory.lse_BHL = std::get<1>(result);
  memory.seed = std::get<2>(result);
  memory.offset = std::get<3>(result);
}

void SoftSequence::attend_on_cpu(SoftBlockMemory& memory) const {
  const auto& block = memory.block;
  const int64_t H = q_BTHC_.size(2);
  const auto heads = [&](const Tensor& x_BTNC) {
    return repeat_kv_heads(x_BTNC.transpose(1, 2), H);
  };
  // The kernel's own causal flag is aligned top-left.
  const auto [out_BHLC, lse_BHL] = at::_scaled_dot_product_flash_attention_for_cpu(
      heads(queries(block.begin, block.end)), heads(shared_.keys(block.end)),
      heads(shared_.values(block.end)), /*dropout_p=*/0.0, /*is_causal=*/false,
      causal_bias(block.length(), block.end, q_BTHC_.options()), scale());
  memory.out_BLHC = out_BHLC.transpose(1, 2);
  memory.lse_BHL = lse_BHL;
}

/// What each key has received up to the block's last query.
Tensor SoftSequence::mass_after(const SoftBlockMemory& memory, const Tensor& earlier_BGM) const {
  const auto& block = memory.block;
  const auto heads = [&](const Tensor& x_BTNC) {
    return x_BTNC.narrow(/*dim=*/3, 0, channels_).transpose(1, 2);
  };
  // The column sums' logits know nothing of the term that all queries of the block share.
  const auto received_BGS =
      column_mass(heads(queries(block.begin, block.end)), heads(shared_.keys(block.end)),
                  memory.lse_BHL, /*prior_mass_BGM=*/{}, cache_.score_distance);
  add_mass(received_BGS, memory.choice.log_keep_BGS, earlier_BGM, block.fading);
  return received_BGS;
}

WideGradients SoftSequence::attention_gradients(const WideKeys& to,
                                                std::span<const SoftBlockMemory> blocks,
                                                const Tensor& d_out_BTHC) const {
  const int64_t begin = blocks.front().block.begin, end = blocks.back().block.end;
  for (const auto& memory : blocks) set_terms(to, memory);
  const auto heads = [](const Tensor& x_BTNC) { return x_BTNC.transpose(1, 2); };
  const auto q_BHLC = heads(queries(begin, end));
  const AttentionMemo memo = {
      heads(joined(blocks, &SoftBlockMemory::out_BLHC, /*dim=*/1)),
      joined(blocks, &SoftBlockMemory::lse_BHL, /*dim=*/2), blocks.front().seed,
      blocks.front().offset,
      backend_ == AttentionBackend::kFlash ? backend_ : fastest_gradients(q_BHLC)};
  const auto found = call_attention_backward(
      heads(d_out_BTHC.narrow(/*dim=*/1, begin, end - begin)), q_BHLC, heads(to.keys(end)),
      heads(to.values(end)), memo, /*causal=*/true, scale());
  return {heads(found.dq_BHLD), heads(found.dk_BGSD), heads(found.dv_BGSD)};
}

}  // namespace lococo
