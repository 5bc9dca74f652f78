#include "tasks/cell_grid.h"

#include <algorithm>
#include <stdexcept>

#include "core/error.h"
#include "questions/facts.h"

namespace lococo {
namespace {

std::vector<std::string> chosen(const std::vector<std::string>& asked,
                                const std::vector<std::string>& known) {
  for (const std::string& kind : asked) {
    if (std::find(known.begin(), known.end(), kind) == known.end()) {
      throw UserError("eval.kinds: this task has no '" + kind + "'; it has " + joined(known, ", "));
    }
    if (std::count(asked.begin(), asked.end(), kind) > 1) {
      throw UserError("eval.kinds: '" + kind + "' stands there twice; name it once");
    }
  }
  return asked.empty() ? known : asked;
}

}  // namespace

CellGrid::CellGrid(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                   const std::vector<std::string>& known, bool with_depths)
    : lengths_(lengths), trials_(task.trials) {
  // A task of one kind has no name for it.
  if (known.empty() && !task.kinds.empty()) {
    throw UserError("eval.kinds: this task has no kinds; leave the key out");
  }
  kinds_ = known.empty() ? std::vector<std::string>{""} : chosen(task.kinds, known);
  if (with_depths) depths_.assign(task.depths.begin(), task.depths.end());
  if (depths_.empty()) depths_ = {kNoDepth};
}

int64_t CellGrid::size() const {
  return static_cast<int64_t>(kinds_.size() * lengths_.size() * depths_.size()) * trials_;
}

TaskSample CellGrid::sample(int64_t index) const {
  if (index < 0 || index >= size()) throw std::out_of_range("task sample");
  const auto take = [&index](size_t n) {
    const auto count = static_cast<int64_t>(n);
    const auto i = static_cast<size_t>(index % count);
    index /= count;
    return i;
  };
  TaskSample sample;
  sample.trial = static_cast<int64_t>(take(static_cast<size_t>(trials_)));
  sample.depth = depths_[take(depths_.size())];
  sample.length = lengths_[take(lengths_.size())];
  sample.kind = kinds_[take(kinds_.size())];
  return sample;
}

std::vector<int64_t> CellGrid::telling_samples() const {
  std::vector<int64_t> indices;
  const auto add = [&](size_t kind, size_t length, size_t depth) {
    const size_t cell = (kind * lengths_.size() + length) * depths_.size() + depth;
    indices.push_back(static_cast<int64_t>(cell) * trials_);
  };
  const auto begin = lengths_.begin();
  const auto shortest = static_cast<size_t>(std::min_element(begin, lengths_.end()) - begin);
  const auto longest = static_cast<size_t>(std::max_element(begin, lengths_.end()) - begin);
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    for (size_t depth = 0; depth < depths_.size(); ++depth) add(kind, shortest, depth);
    if (longest != shortest) add(kind, longest, 0);
  }
  return indices;
}

}  // namespace lococo
