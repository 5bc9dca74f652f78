#include "train/micro_batch.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tensor/kit/torch.h"

namespace lococo {

int64_t padded_length(std::span<const TrainingSequence> sequences, int64_t step, int64_t most) {
  size_t longest = 0;
  for (const TrainingSequence& sequence : sequences)
    longest = std::max(longest, sequence.tokens.size());
  const int64_t T = static_cast<int64_t>(longest) - 1;
  return std::max(T, std::min((T + step - 1) / step * step, most));
}

Batch micro_batch(std::span<const TrainingSequence> sequences, int64_t T, torch::Device device) {
  std::vector<torch::Tensor> tokens, kinds;
  Documents documents;
  for (const TrainingSequence& sequence : sequences) {
    const int64_t missing = T + 1 - static_cast<int64_t>(sequence.tokens.size());
    const auto padded = [missing](const torch::Tensor& row) {
      return missing == 0 ? row : torch::constant_pad_nd(row, {0, missing});
    };
    tokens.push_back(padded(torch::tensor(sequence.tokens, torch::kInt64)));
    // What is padded has kind 0: it is ignored.
    if (!sequence.kinds.empty())
      kinds.push_back(padded(torch::tensor(sequence.kinds, torch::kUInt8)));
    if (!sequence.documents.empty()) documents.rows.push_back(sequence.documents);
  }
  Batch batch = {torch::stack(tokens).to(device)};
  if (!kinds.empty()) batch.kinds_BT = torch::stack(kinds).to(device);
  if (!documents.rows.empty())
    batch.documents = std::make_shared<const Documents>(std::move(documents));
  return batch;
}

}  // namespace lococo
