#include "soft/soft_steps.h"

#include "soft/mass_score.h"
#include "soft/soft_steps_kernel.h"
#include "tensor/kit/kernel_launch.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

bool is_on_gpu([[maybe_unused]] const torch::Tensor& tensor,
               [[maybe_unused]] torch::ScalarType dtype) {
#ifdef LOCOCO_WITH_CUDA
  return tensor.is_cuda() && tensor.scalar_type() == dtype;
#else
  return false;
#endif
}

#ifdef LOCOCO_WITH_CUDA

const float* floats_of(const torch::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  TORCH_CHECK(tensor.is_contiguous(), "want contiguous numbers");
  return tensor.const_data_ptr<float>();
}

float* sums_of(const torch::Tensor& tensor) {
  TORCH_CHECK(tensor.is_contiguous(), "want contiguous sums");
  return tensor.data_ptr<float>();
}

const uint16_t* bits_of(const torch::Tensor& tensor) {
  return static_cast<const uint16_t*>(tensor.const_data_ptr());
}

BlockScores block_scores_cuda(const torch::Tensor& score_BGT, const torch::Tensor& mass_BGM,
                              const torch::Tensor& mass_weight_G, int64_t M) {
  const int64_t B = score_BGT.size(0), G = score_BGT.size(1), T = score_BGT.size(2);
  const BlockScores scores = {torch::empty({B, G, M}, score_BGT.options()),
                              torch::empty({B, G, M}, score_BGT.options())};
  const BlockScoresArguments arguments = {floats_of(score_BGT),
                                          floats_of(mass_BGM),
                                          floats_of(mass_weight_G),
                                          sums_of(scores.score_BGM),
                                          sums_of(scores.massed_BGM),
                                          B * G,
                                          G,
                                          T,
                                          M};
  launch_on(score_BGT, [&](CUstream_st* stream) { launch_block_scores(arguments, stream); });
  return scores;
}

void write_key_terms_cuda(const torch::Tensor& k_BSHC, const torch::Tensor& log_keep_BGM,
                          int64_t channel, double scale) {
  KeyTermsArguments arguments{};
  arguments.terms = static_cast<uint16_t*>(k_BSHC.data_ptr()) + channel;
  arguments.log_keep = floats_of(log_keep_BGM);
  arguments.batch_stride = k_BSHC.stride(0);
  arguments.key_stride = k_BSHC.stride(1);
  arguments.head_stride = k_BSHC.stride(2);
  arguments.B = k_BSHC.size(0);
  arguments.S = k_BSHC.size(1);
  arguments.H = k_BSHC.size(2);
  arguments.G = log_keep_BGM.defined() ? log_keep_BGM.size(1) : arguments.H;
  arguments.M = log_keep_BGM.defined() ? log_keep_BGM.size(2) : 0;
  arguments.factor = static_cast<float>(1.0 / scale);
  launch_on(k_BSHC, [&](CUstream_st* stream) { launch_key_terms(arguments, stream); });
}

void add_mass_cuda(const torch::Tensor& received_BGS, const torch::Tensor& log_keep_BGM,
                   const torch::Tensor& earlier_BGM, double fading) {
  const auto& some_BGM = log_keep_BGM.defined() ? log_keep_BGM : earlier_BGM;
  const AddMassArguments arguments = {
      sums_of(received_BGS),     floats_of(log_keep_BGM),
      floats_of(earlier_BGM),    received_BGS.size(0) * received_BGS.size(1),
      some_BGM.size(2),          received_BGS.size(2),
      static_cast<float>(fading)};
  launch_on(received_BGS, [&](CUstream_st* stream) { launch_add_mass(arguments, stream); });
}

std::vector<torch::Tensor> add_key_gradients_cuda(const torch::Tensor& dk_BSHC,
                                                  const torch::Tensor& dv_BSHC,
                                                  const torch::Tensor& k_sum_BTGD,
                                                  const torch::Tensor& v_sum_BTGD,
                                                  std::span<const int64_t> terms, double scale) {
  const auto dk = dk_BSHC.contiguous(), dv = dv_BSHC.contiguous();
  KeyGradientsArguments arguments{};
  arguments.B = dk.size(0);
  arguments.S = dk.size(1);
  arguments.H = dk.size(2);
  arguments.T = k_sum_BTGD.size(1);
  arguments.G = k_sum_BTGD.size(2);
  arguments.D = k_sum_BTGD.size(3);
  std::vector<torch::Tensor> d_log_keep(terms.size());
  for (size_t n = 0; n < terms.size(); ++n) {
    if (terms[n] == 0) continue;
    d_log_keep[n] = torch::empty({arguments.B, arguments.G, terms[n]}, k_sum_BTGD.options());
    arguments.terms[n] = {sums_of(d_log_keep[n]), terms[n]};
  }
  arguments.dk = bits_of(dk);
  arguments.dv = bits_of(dv);
  arguments.k_sum = sums_of(k_sum_BTGD);
  arguments.v_sum = sums_of(v_sum_BTGD);
  arguments.factor = static_cast<float>(1.0 / scale);
  launch_on(dk, [&](CUstream_st* stream) { launch_key_gradients(arguments, stream); });
  return d_log_keep;
}

void add_choice_gradients_cuda(const torch::Tensor& d_score_BGM, const torch::Tensor& d_massed_BGM,
                               const torch::Tensor& mass_BGM, const torch::Tensor& score_sum_BGT,
                               const torch::Tensor& weight_sum_BG) {
  const ChoiceGradientsArguments arguments = {
      floats_of(d_score_BGM), floats_of(d_massed_BGM), floats_of(mass_BGM),
      sums_of(score_sum_BGT), sums_of(weight_sum_BG),  d_score_BGM.size(0) * d_score_BGM.size(1),
      score_sum_BGT.size(2),  d_score_BGM.size(2)};
  launch_on(d_score_BGM, [&](CUstream_st* stream) { launch_choice_gradients(arguments, stream); });
}

#endif

/// The heads of each group summed, in the dtype of the sums.
torch::Tensor of_groups(const torch::Tensor& d_BSHC, const torch::Tensor& sum_BTGD) {
  const int64_t G = sum_BTGD.size(2), heads = d_BSHC.size(2) / G;
  return d_BSHC.to(sum_BTGD.scalar_type()).unflatten(/*dim=*/2, {G, heads}).sum(/*dim=*/3);
}

}  // namespace

BlockScores block_scores(const torch::Tensor& score_BGT, const torch::Tensor& mass_BGM,
                         const torch::Tensor& mass_weight_G, int64_t M) {
  if (!mass_BGM.defined()) return {score_BGT.narrow(/*dim=*/2, 0, M).contiguous(), {}};
#ifdef LOCOCO_WITH_CUDA
  if (is_on_gpu(score_BGT, torch::kFloat32))
    return block_scores_cuda(score_BGT, mass_BGM, mass_weight_G, M);
#endif
  const auto score_BGM = score_BGT.narrow(/*dim=*/2, 0, M).contiguous();
  return {score_BGM, score_with_mass(score_BGM, mass_BGM, mass_weight_G)};
}

void write_key_terms(const torch::Tensor& k_BSHC, const torch::Tensor& log_keep_BGM,
                     int64_t channel, double scale) {
#ifdef LOCOCO_WITH_CUDA
  if (is_on_gpu(k_BSHC, torch::kBFloat16))
    return write_key_terms_cuda(k_BSHC, log_keep_BGM, channel, scale);
#endif
  k_BSHC.narrow(/*dim=*/3, channel, 2).zero_();
  if (!log_keep_BGM.defined()) return;
  const int64_t M = log_keep_BGM.size(2), heads = k_BSHC.size(2) / log_keep_BGM.size(1);
  const auto past = k_BSHC.narrow(/*dim=*/1, 0, M);
  const auto term_BMH = (log_keep_BGM * (1.0 / scale)).transpose(1, 2).repeat_interleave(heads, 2);
  const auto first = past.select(/*dim=*/3, channel).copy_(term_BMH);
  past.select(/*dim=*/3, channel + 1).copy_(term_BMH - first);
}

void add_mass(const torch::Tensor& received_BGS, const torch::Tensor& log_keep_BGM,
              const torch::Tensor& earlier_BGM, double fading) {
  if (!log_keep_BGM.defined() && !earlier_BGM.defined()) return;
#ifdef LOCOCO_WITH_CUDA
  if (is_on_gpu(received_BGS, torch::kFloat32))
    return add_mass_cuda(received_BGS, log_keep_BGM, earlier_BGM, fading);
#endif
  if (log_keep_BGM.defined())
    received_BGS.narrow(/*dim=*/2, 0, log_keep_BGM.size(2)).mul_(log_keep_BGM.exp());
  if (earlier_BGM.defined())
    received_BGS.narrow(/*dim=*/2, 0, earlier_BGM.size(2)).add_(earlier_BGM, fading);
}

std::vector<torch::Tensor> add_key_gradients(const torch::Tensor& dk_BSHC,
                                             const torch::Tensor& dv_BSHC,
                                             const torch::Tensor& k_sum_BTGD,
                                             const torch::Tensor& v_sum_BTGD,
                                             std::span<const int64_t> terms, double scale) {
  const int64_t S = dk_BSHC.size(1), D = k_sum_BTGD.size(3);
  TORCH_CHECK(dk_BSHC.size(3) == D + 2 * kMostKeyTerms && terms.size() <= kMostKeyTerms, "keys of ",
              dk_BSHC.size(3), " channels, ", terms.size(), " terms");
#ifdef LOCOCO_WITH_CUDA
  static_assert(KeyGradientsArguments::kTerms == kMostKeyTerms);
  if (is_on_gpu(dk_BSHC, torch::kBFloat16) && is_on_gpu(k_sum_BTGD, torch::kFloat32))
    return add_key_gradients_cuda(dk_BSHC, dv_BSHC, k_sum_BTGD, v_sum_BTGD, terms, scale);
#endif
  const auto dk_BSGC = of_groups(dk_BSHC, k_sum_BTGD);
  k_sum_BTGD.narrow(/*dim=*/1, 0, S).add_(dk_BSGC.narrow(/*dim=*/3, 0, D));
  v_sum_BTGD.narrow(/*dim=*/1, 0, S).add_(of_groups(dv_BSHC, v_sum_BTGD).narrow(/*dim=*/3, 0, D));
  std::vector<torch::Tensor> d_log_keep(terms.size());
  for (size_t n = 0; n < terms.size(); ++n) {
    if (terms[n] == 0) continue;
    const auto d_term_BMG =
        dk_BSGC.narrow(/*dim=*/1, 0, terms[n]).select(/*dim=*/3, D + 2 * static_cast<int64_t>(n));
    d_log_keep[n] = (d_term_BMG * (1.0 / scale)).transpose(1, 2).contiguous();
  }
  return d_log_keep;
}

void add_choice_gradients(const torch::Tensor& d_score_BGM, const torch::Tensor& d_massed_BGM,
                          const torch::Tensor& mass_BGM, const torch::Tensor& score_sum_BGT,
                          const torch::Tensor& weight_sum_BG) {
#ifdef LOCOCO_WITH_CUDA
  if (d_score_BGM.defined() && is_on_gpu(d_score_BGM, torch::kFloat32))
    return add_choice_gradients_cuda(d_score_BGM, d_massed_BGM, mass_BGM, score_sum_BGT,
                                     weight_sum_BG);
#endif
  const auto& some_BGM = d_score_BGM.defined() ? d_score_BGM : d_massed_BGM;
  const auto of_score_BGM = score_sum_BGT.narrow(/*dim=*/2, 0, some_BGM.size(2));
  if (d_score_BGM.defined()) of_score_BGM.add_(d_score_BGM);
  if (!d_massed_BGM.defined()) return;
  of_score_BGM.add_(d_massed_BGM);
  weight_sum_BG.add_((d_massed_BGM * log_of_mass(mass_BGM)).sum(/*dim=*/2));
}

}  // namespace lococo
