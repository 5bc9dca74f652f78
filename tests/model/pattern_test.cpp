// Patterns of attention through a whole model.
#include "model/llama.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Pattern = std::shared_ptr<const AttentionPattern>;

std::vector<SegmentForm> forms(int64_t H) {
  return {{4, H / 2, 0}, {5, H / 2, 0}, {4, H / 4, 2}, {7, H, 3}, {3, 0, 1}};
}

/// Gradients of every parameter that needs one.
std::map<std::string, torch::Tensor> gradients_of(Llama& model, const torch::Tensor& tokens,
                                                  const WholeSequence& how) {
  model->zero_grad();
  weighted_sum(model->forward(tokens, how)).backward();
  std::map<std::string, torch::Tensor> gradients;
  for (const auto& item : model->named_parameters()) {
    if (item.value().grad().defined()) gradients[item.key()] = item.value().grad().clone();
  }
  return gradients;
}

/// LoRA that counts, and norms; the rest frozen.
Llama tuned_llama() {
  auto model = tiny_llama(3);
  model->add_lora(/*rank=*/2, /*alpha=*/4.0, {"q_proj", "k_proj", "v_proj", "o_proj"}, /*seed=*/5);
  perturb(model, "lora_B", 1.0, 7);
  for (auto& item : model->named_parameters()) {
    const std::string& name = item.key();
    item.value().requires_grad_(name.find("lora") != std::string::npos ||
                                name.find("norm") != std::string::npos ||
                                name.find("embed") != std::string::npos);
  }
  return model;
}

}  // namespace

TEST_CASE("no output of the model depends on a later token, whatever the pattern", "[model]") {
  const torch::NoGradGuard no_grad;
  const int64_t L = GENERATE(11, 12, 13);
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  auto model = tiny_llama(3);
  for (const SegmentForm& form : forms(model->shape().num_heads)) {
    const WholeSequence how = {false, make_segment_pattern(form, backend)};
    const auto tokens = random_tokens(2, L, 1);
    const auto out = model->forward(tokens, how);
    for (int64_t j = 1; j < L; ++j) {
      auto other = tokens.clone();
      other.narrow(1, j, L - j) = (other.narrow(1, j, L - j) + 1) % model->shape().vocab_size;
      const auto changed = model->forward(other, how);
      CHECK_SAME(changed.narrow(1, 0, j), out.narrow(1, 0, j));
      CHECK_FALSE(torch::equal(changed.narrow(1, j, L - j), out.narrow(1, j, L - j)));
    }
  }
}

TEST_CASE("the gradient of an output with respect to later embeddings is exactly 0", "[model]") {
  auto model = tiny_llama(3);
  const int64_t L = 13;
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const auto tokens = distinct_tokens(1, L, 1);  // a row of the embedding for each place
  for (const SegmentForm& form : forms(model->shape().num_heads)) {
    const auto& embedding = model->model->embed_tokens->weight;
    const auto out = model->forward(tokens, {false, make_segment_pattern(form, backend)});
    for (int64_t i = 0; i < L; ++i) {
      const auto d_VE = torch::autograd::grad({weighted_sum(out[0][i])}, {embedding}, {},
                                              /*retain_graph=*/true)[0];
      const auto d_LE = d_VE.index_select(0, tokens[0]).abs().sum(-1);
      CHECK(d_LE[i].item<double>() > 0);
      if (i + 1 < L) CHECK(d_LE.narrow(0, i + 1, L - i - 1).max().item<double>() == 0);
    }
  }
}

TEST_CASE("in a padded batch no gradient reaches a later token, padding or another row",
          "[model]") {
  auto model = tiny_llama(3);
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  const int64_t L = GENERATE(14, 15);
  const auto H = model->shape().num_heads;
  std::vector<Pattern> patterns = {make_full_pattern(backend)};
  for (const SegmentForm& form : forms(H)) patterns.push_back(make_segment_pattern(form, backend));
  // Padding on the right, on both sides, and between and behind two documents.
  const Documents documents = {{{{0, 11}}, {{2, L - 1}}, {{0, 5}, {6, 13}}}};
  // A row of the embedding for each place of the batch.
  const auto tokens = distinct_tokens(1, 3 * L, 1).view({3, L});
  const auto& embedding = model->model->embed_tokens->weight;
  for (const Pattern& pattern : patterns) {
    const WholeSequence how = {false, pattern, std::make_shared<const Documents>(documents)};
    const auto out = model->forward(tokens, how);
    for (int64_t b = 0; b < 3; ++b) {
      for (const TokenRange& document : documents.rows[static_cast<size_t>(b)]) {
        for (int64_t i = document.begin; i < document.end; ++i) {
          const auto d_VE = torch::autograd::grad({weighted_sum(out[b][i])}, {embedding}, {},
                                                  /*retain_graph=*/true)[0];
          auto d_BL = d_VE.index_select(0, tokens.view({-1})).abs().sum(-1).view({3, L});
          CHECK(d_BL[b][i].item<double>() > 0);
          d_BL[b].narrow(0, document.begin, i + 1 - document.begin).zero_();  // what it may see
          CHECK(d_BL.max().item<double>() == 0);
        }
      }
    }
  }
}

TEST_CASE("recomputed layers have the same gradients with every pattern", "[model]") {
  auto model = tuned_llama();
  const auto tokens = random_tokens(2, 19, 1);
  const auto backend = GENERATE(AttentionBackend::kReference, AttentionBackend::kFlash);
  Documents packed = {{{{0, 8}, {8, 19}}, {{2, 17}}}};
  const auto documents =
      GENERATE_COPY(std::shared_ptr<const Documents>(), std::make_shared<const Documents>(packed));
  std::vector<Pattern> patterns = {make_full_pattern(backend)};
  for (const SegmentForm& form : forms(model->shape().num_heads))
    patterns.push_back(make_segment_pattern(form, backend));
  for (const Pattern& pattern : patterns) {
    const auto kept = gradients_of(model, tokens, {false, pattern, documents});
    const auto recomputed = gradients_of(model, tokens, {true, pattern, documents});
    const auto attention_too = gradients_of(model, tokens, {true, pattern, documents, true});
    REQUIRE(recomputed.size() == kept.size());
    REQUIRE(attention_too.size() == kept.size());
    for (const auto& [name, gradient] : kept) {
      INFO(name);
      CHECK(gradient.abs().max().item<double>() > 0);
      CHECK_CLOSE(recomputed.at(name), gradient, /*factor=*/10.0);  // through all layers
      CHECK_SAME(attention_too.at(name), recomputed.at(name));
    }
  }
}

TEST_CASE("one segment and no shift is the model without a pattern, bit for bit", "[model]") {
  auto model = tuned_llama();
  const auto tokens = random_tokens(2, 13, 1);
  const auto one = make_segment_pattern({/*group=*/13}, AttentionBackend::kAuto);
  CHECK_SAME(model->forward(tokens, {false, one}), model->forward(tokens));
  const auto got = gradients_of(model, tokens, {false, one}),
             want = gradients_of(model, tokens, {});
  for (const auto& [name, gradient] : want) CHECK_SAME(got.at(name), gradient);
}

TEST_CASE("a document packed into a row is what it is alone", "[model]") {
  const torch::NoGradGuard no_grad;
  auto model = tiny_llama(3);
  const auto tokens = random_tokens(1, 21, 1);
  const Documents documents = {{{{1, 9}, {9, 21}}}};
  WholeSequence how;
  how.pattern = make_segment_pattern({4, 1, 2}, AttentionBackend::kAuto);
  how.documents = std::make_shared<const Documents>(documents);
  const auto packed = model->forward(tokens, how);
  how.documents = nullptr;
  for (const auto& [begin, end] : documents.rows[0]) {
    // Angles count from the row's begin, but only their differences matter.
    CHECK_CLOSE(packed.narrow(1, begin, end - begin),
                model->forward(tokens.narrow(1, begin, end - begin), how), /*factor=*/10.0);
  }
}
