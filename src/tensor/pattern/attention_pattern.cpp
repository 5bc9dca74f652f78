#include "tensor/pattern/attention_pattern.h"

#include "tensor/attention/attention.h"
#include "tensor/pattern/masked_attention.h"
#include "tensor/pattern/segment_attention.h"

namespace lococo {
namespace {

using torch::Tensor;

class SegmentPattern : public AttentionPattern {
 public:
  SegmentPattern(const SegmentForm& form, AttentionBackend backend)
      : form_(form), backend_(backend) {}

  Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v,
                const Documents& documents) const override {
    if (backend_for(q, documents) == AttentionBackend::kReference)
      return masked_attention(q, k, v, form_, documents);
    return recall(q, k, v, documents, remember(q, k, v, documents));
  }

  PatternMemo remember(const Tensor& q, const Tensor& k, const Tensor& v,
                       const Documents& documents) const override {
    const torch::NoGradGuard no_grad;
    const auto backend = backend_for(q, documents);
    if (backend == AttentionBackend::kReference)
      return {masked_attention(q, k, v, form_, documents), {}, {}};
    return segment_attention(q, k, v, form_, documents, backend);
  }

  Tensor recall(const Tensor& q, const Tensor& k, const Tensor& v, const Documents& documents,
                const PatternMemo& memo) const override {
    if (backend_for(q, documents) == AttentionBackend::kReference)
      return masked_attention(q, k, v, form_, documents);
    return recall_segment_attention(q, k, v, form_, documents, memo);
  }

 private:
  AttentionBackend backend_for(const Tensor& q, const Documents& documents) const {
    const auto backend = resolve_backend(backend_, q, q.size(2));
    // cuDNN makes a plan for each length, which takes longer than attention to a short document.
    const bool plans = backend == AttentionBackend::kCudnn && !documents.empty();
    return plans ? AttentionBackend::kFlash : backend;
  }

  SegmentForm form_;
  AttentionBackend backend_;
};

class FullPattern : public AttentionPattern {
 public:
  explicit FullPattern(AttentionBackend backend) : backend_(backend) {}

  Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v,
                const Documents& documents) const override {
    if (!documents.empty()) return one_segment(q)->attend(q, k, v, documents);
    return causal_attention(q, k, v, backend_).out_BHLD;
  }

  PatternMemo remember(const Tensor& q, const Tensor& k, const Tensor& v,
                       const Documents& documents) const override {
    if (!documents.empty()) return one_segment(q)->remember(q, k, v, documents);
    PatternMemo memo;
    memo.calls = {remember_attention(q, k, v, backend_)};
    memo.out_BHLD = memo.calls[0].out_BHLD;
    return memo;
  }

  Tensor recall(const Tensor& q, const Tensor& k, const Tensor& v, const Documents& documents,
                const PatternMemo& memo) const override {
    if (!documents.empty()) return one_segment(q)->recall(q, k, v, documents, memo);
    return recall_attention(q, k, v, memo.calls.at(0),
                            memo.overwrites ? heads_at_once(q.size(0), q.size(2)) : kAllHeads);
  }

 private:
  /// Documents alone: no document is longer than the row.
  std::shared_ptr<const AttentionPattern> one_segment(const Tensor& q) const {
    SegmentForm form;
    form.group = q.size(2);
    return make_segment_pattern(form, backend_);
  }

  AttentionBackend backend_;
};

}  // namespace

std::shared_ptr<const AttentionPattern> make_full_pattern(AttentionBackend backend) {
  return std::make_shared<FullPattern>(backend);
}

std::shared_ptr<const AttentionPattern> make_segment_pattern(const SegmentForm& form,
                                                             AttentionBackend backend) {
  return std::make_shared<SegmentPattern>(form, backend);
}

}  // namespace lococo
