#include "soft/soft_blocks.h"

#include <algorithm>
#include <cmath>

namespace lococo {

std::vector<SoftBlock> soft_blocks(const SoftCache& cache, int64_t T) {
  TORCH_CHECK(cache.block > 0 && cache.slots() > 0, "block=", cache.block,
              " slots=", cache.slots());
  std::vector<SoftBlock> blocks;
  bool has_compressed = false;
  for (int64_t begin = 0; begin < T; begin += cache.block) {
    SoftBlock block = {begin, std::min(begin + cache.block, T), begin > cache.slots()};
    if (block.compresses) {
      // The first choice is among all tokens so far, later ones among slots and one block.
      const int64_t more = has_compressed ? cache.block : begin - cache.slots();
      block.fading =
          std::pow(cache.score_decay, static_cast<double>(more) / static_cast<double>(cache.block));
      has_compressed = true;
    }
    blocks.push_back(block);
  }
  return blocks;
}

void SoftMass::add(const SoftBlock& block, const torch::Tensor& received_BGS) {
  torch::NoGradGuard no_grad;
  auto sum_BGS = received_BGS;
  if (mass_BGS_.defined())
    sum_BGS.narrow(/*dim=*/2, 0, mass_BGS_.size(2)).add_(mass_BGS_, block.fading);
  mass_BGS_ = sum_BGS;
}

}  // namespace lococo
