#include "tensor/attention/decode_attention.h"

#include "tensor/attention/attention.h"
#include "tensor/attention/column_mass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t B = 2, H = 6, G = 2, C = 9, D = 8;

torch::Tensor turned(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return x * cos + torch::cat({-halves[1], halves[0]}, -1) * sin;
}

}  // namespace

TEST_CASE("decode attention is causal attention of the last query", "[tensor]") {
  const bool rotate_cache = GENERATE(false, true);
  const int64_t distance = GENERATE(0, 1, 4, 20);
  const auto angle = normal({C, D / 2}, 1).repeat({1, 2});
  const auto cos_XD = angle.cos(), sin_XD = angle.sin();
  DecodePosition position;
  position.cos_RXD = cos_XD.unsqueeze(0);
  position.sin_RXD = sin_XD.unsqueeze(0);
  position.rotate_cache = rotate_cache;
  const auto keys = normal({B, G, C, D}, 2), values = normal({B, G, C, D}, 3);
  const auto rotated = turned(keys, cos_XD, sin_XD);

  for (const int64_t slot : {0, 1, 5, 8}) {
    INFO("slot " << slot);
    DecodeCache cache = {torch::zeros({B, G, C, D}), torch::zeros({B, G, C, D}),
                         torch::full({B, G, C}, 2.0)};
    cache.k_BGCD.narrow(2, 0, slot).copy_((rotate_cache ? keys : rotated).narrow(2, 0, slot));
    cache.v_BGCD.narrow(2, 0, slot).copy_(values.narrow(2, 0, slot));
    position.cursor_B2 = torch::full({B, 2}, slot, torch::kInt32);
    const auto q = normal({B, H, D}, 4);
    DecodeAttention attention(B, H, G, C, D, q, distance);
    CHECK_FALSE(attention.has_kernel());
    const auto out =
        attention.forward(q, keys.select(2, slot), values.select(2, slot), cache, position);

    const auto q_BH1D = turned(q, cos_XD[slot], sin_XD[slot]).unsqueeze(2);
    const auto k_BGSD = rotated.narrow(2, 0, slot + 1), v_BGSD = values.narrow(2, 0, slot + 1);
    const auto want = causal_attention(q_BH1D, k_BGSD, v_BGSD, AttentionBackend::kReference);
    CHECK_CLOSE(out, want.out_BHLD.squeeze(2));
    CHECK_CLOSE(cache.k_BGCD.narrow(2, 0, slot + 1),
                (rotate_cache ? keys : rotated).narrow(2, 0, slot + 1));
    CHECK_SAME(cache.v_BGCD.select(2, slot), values.select(2, slot));
    auto mass = column_mass_reference(q_BH1D, k_BGSD, distance);
    mass.narrow(2, 0, slot).add_(2.0);
    CHECK_CLOSE(cache.mass_BGC.narrow(2, 0, slot + 1), mass);
    CHECK_SAME(cache.mass_BGC.narrow(2, slot + 1, C - slot - 1),
               torch::full({B, G, C - slot - 1}, 2.0));
  }
}

TEST_CASE("each sequence has its own slot and, where given, its own angles", "[tensor]") {
  const auto angle = normal({B, C, D / 2}, 1).repeat({1, 1, 2});
  const std::vector<int64_t> slots = {2, 7}, rows = {5, 0};
  const auto q = normal({B, H, D}, 4), k = normal({B, G, D}, 5), v = normal({B, G, D}, 6);
  const auto keys = normal({B, G, C, D}, 2), values = normal({B, G, C, D}, 3);
  for (const bool own : {false, true}) {
    DecodePosition together;
    together.cos_RXD = (own ? angle : angle.narrow(0, 0, 1)).cos();
    together.sin_RXD = (own ? angle : angle.narrow(0, 0, 1)).sin();
    together.cursor_B2 = torch::tensor({{2, 5}, {7, 0}}, torch::kInt32);
    DecodeCache cache = {keys.clone(), values.clone(), torch::full({B, G, C}, 2.0)};
    const auto out = DecodeAttention(B, H, G, C, D, q, 2).forward(q, k, v, cache, together);
    for (int64_t b = 0; b < B; ++b) {
      const auto i = static_cast<size_t>(b);
      DecodePosition alone;
      alone.cos_RXD = angle.narrow(0, own ? b : 0, 1).cos();
      alone.sin_RXD = angle.narrow(0, own ? b : 0, 1).sin();
      alone.cursor_B2 = torch::tensor({{slots[i], rows[i]}}, torch::kInt32);
      DecodeCache one = {keys.narrow(0, b, 1).clone(), values.narrow(0, b, 1).clone(),
                         torch::full({1, G, C}, 2.0)};
      const auto of_row = [&](const torch::Tensor& x) { return x.narrow(0, b, 1); };
      const auto want =
          DecodeAttention(1, H, G, C, D, q, 2).forward(of_row(q), of_row(k), of_row(v), one, alone);
      CHECK_CLOSE(of_row(out), want);
      CHECK_CLOSE(of_row(cache.k_BGCD), one.k_BGCD);
      CHECK_SAME(of_row(cache.v_BGCD), one.v_BGCD);
      CHECK_CLOSE(of_row(cache.mass_BGC), one.mass_BGC);
    }
  }
}
