#include "tensor/pattern/segment_attention.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"
#include "tensor/pattern/segment_calls.h"

namespace lococo {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// An empty [B, H, L, D] with the heads of a token side by side in memory, as the projections
/// before and after attention have them.
Tensor empty_in_token_order(const Tensor& like_BHLD) {
  return torch::empty_like(like_BHLD.transpose(1, 2), at::MemoryFormat::Contiguous).transpose(1, 2);
}

/// [rows, count, h, length, ...] as the batch of a kernel, copied only where strides demand it.
Tensor as_batch(const Tensor& view) { return view.flatten(0, 1); }

/// The other way round: [rows, count, ...].
Tensor as_rows(const Tensor& batch, const SegmentCall& call) {
  return batch.unflatten(/*dim=*/0, {call.rows, batch.size(0) / call.rows});
}

/// The numbers of a call's queries, [rows, count, h, length], of x_BHL.
Tensor number_view(const Tensor& x_BHL, const SegmentCall& call) {
  return query_view(x_BHL.unsqueeze(-1), call).squeeze(-1);
}

/// The kernel that a call runs through.
AttentionBackend backend_of(const SegmentCall& call, AttentionBackend backend) {
  // cuDNN 9 has no backward pass for a single query and key; its plans for few keys gain nothing.
  const bool cudnn =
      backend == AttentionBackend::kCudnn && call.causal() && call.queries.length > 1;
  return cudnn ? AttentionBackend::kCudnn : AttentionBackend::kFlash;
}

struct CallInput {
  Tensor q, k, v;
};

CallInput input_of(const SegmentCall& call, AttentionBackend backend, const Tensor& q_BHLD,
                   const Tensor& k_BGLD, const Tensor& v_BGLD) {
  const auto keys = [&](const Tensor& x_BGLD) {
    auto view = key_view(x_BGLD, call);
    if (!call.causal()) view = view.expand({-1, call.queries.count, -1, -1, -1});
    const auto batch = as_batch(view);
    if (takes_grouped_heads(backend, batch.device())) return batch;
    return repeat_kv_heads(batch, call.heads.heads);
  };
  return {as_batch(query_view(q_BHLD, call)), keys(k_BGLD), keys(v_BGLD)};
}

/// What the softmax over both parts makes of a part's output; `out` and `lse` are what was there.
void merge(const AttentionMemo& part, const SegmentCall& call, Tensor out, Tensor lse) {
  const auto part_lse = as_rows(part.lse.view({part.out_BHLD.size(0), call.heads.heads, -1}), call);
  const auto part_out = as_rows(part.out_BHLD, call);
  const auto merged_lse = torch::logaddexp(lse, part_lse);
  const auto share = (lse - merged_lse).exp_().unsqueeze(-1);
  const auto part_share = (part_lse - merged_lse).exp_().unsqueeze(-1);
  out.copy_((out * share).addcmul_(part_out, part_share));  // the sum in float32
  lse.copy_(merged_lse);
}

/// dk or dv of a call, summed over the query heads of a key-value head and the copies of sinks.
Tensor summed(const Tensor& gradient, const SegmentCall& call) {
  auto rows = as_rows(gradient, call);
  if (rows.size(2) != call.heads.kv_heads)
    rows = rows.unflatten(/*dim=*/2, {call.heads.kv_heads, -1}).sum(/*dim=*/3);
  return call.causal() ? rows : rows.sum(/*dim=*/1, /*keepdim=*/true);
}

/// Lets the autograd context own what is not a tensor.
struct KeptCalls : torch::CustomClassHolder {
  std::vector<SegmentCall> calls;
  std::vector<AttentionMemo> memos;  ///< without outputs and log-sum-exps
  bool tiled = false;                ///< each query, key and value is in exactly one causal call
  bool overwrites = false;           ///< each is in one call alone, and needed by nobody afterwards
};

AttentionGradients gradients_of(const SegmentCall& call, AttentionMemo memo, const Tensor& d_out,
                                const variable_list& saved) {
  const auto input = input_of(call, memo.backend, saved[0], saved[1], saved[2]);
  memo.out_BHLD = as_batch(query_view(saved[3], call));
  memo.lse = as_batch(number_view(saved[4], call)).contiguous();
  const auto d_part = as_batch(query_view(d_out, call));
  return call_attention_backward(d_part, input.q, input.k, input.v, memo, call.causal());
}

struct SegmentFunction : torch::autograd::Function<SegmentFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const c10::intrusive_ptr<KeptCalls>& kept, const Tensor& out,
                        const Tensor& lse) {
    context->save_for_backward({q, k, v, out, lse});
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    return out.detach();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto capsule = context->saved_data["kept"].toCapsule();
    const auto& kept = *static_cast<KeptCalls*>(capsule.get());
    const auto d_out = gradients[0].stride(3) == 1 ? gradients[0] : gradients[0].contiguous();
    const auto room = [&](const Tensor& x) {
      return kept.overwrites ? x.detach() : empty_in_token_order(x);
    };
    auto dq = room(saved[0]), dk = room(saved[1]), dv = room(saved[2]);
    if (!kept.tiled) {
      for (auto* gradient : {&dq, &dk, &dv}) gradient->zero_();
    }
    for (size_t i = 0; i < kept.calls.size(); ++i) {
      const SegmentCall& call = kept.calls[i];
      const auto of_call = gradients_of(call, kept.memos[i], d_out, saved);
      const bool first = kept.tiled && call.causal();
      const auto put = [first](Tensor to, const Tensor& from) {
        first ? to.copy_(from) : to.add_(from);
      };
      put(query_view(dq, call), as_rows(of_call.dq_BHLD, call));
      put(key_view(dk, call), summed(of_call.dk_BGSD, call));
      put(key_view(dv, call), summed(of_call.dv_BGSD, call));
    }
    return {dq, dk, dv, Tensor(), Tensor(), Tensor()};
  }
};

std::vector<SegmentCall> calls_for(const Tensor& q_BHLD, const Tensor& k_BGLD, const Tensor& v_BGLD,
                                   const SegmentForm& form, const Documents& documents) {
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  const int64_t G = k_BGLD.size(1);
  CHECK_SHAPE(k_BGLD, B, G, L, D);
  CHECK_SHAPE(v_BGLD, B, G, L, D);
  TORCH_CHECK(H % G == 0, "query heads H=", H, " must be a multiple of key-value heads G=", G);
  const std::string problem = segment_problem(form, documents, B, H, L);
  TORCH_CHECK(problem.empty(), problem);
  return segment_calls(form, documents, B, H, G, L);
}

}  // namespace

PatternMemo segment_attention(const Tensor& q_BHLD, const Tensor& k_BGLD, const Tensor& v_BGLD,
                              const SegmentForm& form, const Documents& documents,
                              AttentionBackend backend) {
  const torch::NoGradGuard no_grad;
  const auto calls = calls_for(q_BHLD, k_BGLD, v_BGLD, form, documents);
  PatternMemo memo;
  memo.out_BHLD = empty_in_token_order(q_BHLD);
  memo.lse_BHL = torch::empty(q_BHLD.sizes().slice(0, 3), q_BHLD.options().dtype(wide_of(q_BHLD)));
  if (!documents.empty()) memo.out_BHLD.zero_();  // what is in none
  for (const SegmentCall& call : calls) {
    const auto which = backend_of(call, backend);
    const auto input = input_of(call, which, q_BHLD, k_BGLD, v_BGLD);
    auto part = call_attention(input.q, input.k, input.v, which, call.causal());
    const auto out = query_view(memo.out_BHLD, call);
    const auto lse = number_view(memo.lse_BHL, call);
    if (call.causal()) {
      out.copy_(as_rows(part.out_BHLD, call));
      lse.copy_(as_rows(part.lse.reshape(input.q.sizes().slice(0, 3)), call));
    } else {
      merge(part, call, out, lse);
    }
    memo.calls.push_back({{}, {}, part.random_state, part.random_offset, which});
  }
  return memo;
}

Tensor recall_segment_attention(const Tensor& q_BHLD, const Tensor& k_BGLD, const Tensor& v_BGLD,
                                const SegmentForm& form, const Documents& documents,
                                const PatternMemo& memo) {
  TORCH_CHECK(memo.out_BHLD.defined(), "there is no attention to recall");
  auto kept = c10::make_intrusive<KeptCalls>();
  kept->calls = calls_for(q_BHLD, k_BGLD, v_BGLD, form, documents);
  kept->memos = memo.calls;
  TORCH_CHECK(kept->calls.size() == kept->memos.size(), "these are not the calls of this memo");
  const int64_t shared = q_BHLD.size(1) / k_BGLD.size(1);
  kept->tiled = documents.empty() && (form.shifted_heads % shared == 0);
  kept->overwrites = memo.overwrites && kept->tiled && form.sinks == 0;
  return SegmentFunction::apply(q_BHLD, k_BGLD, v_BGLD, kept, memo.out_BHLD, memo.lse_BHL);
}

}  // namespace lococo
