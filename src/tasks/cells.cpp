#include "tasks/cells.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace lococo {
namespace {

constexpr double kQuantile = 1.959963984540054;  // of the normal distribution, for 95 %

Cell& cell_like(const Cell& wanted, std::vector<Cell>* cells) {
  const auto it = std::find_if(cells->begin(), cells->end(), [&](const Cell& cell) {
    return cell.task == wanted.task && cell.kind == wanted.kind && cell.metric == wanted.metric &&
           cell.length == wanted.length && cell.depth == wanted.depth;
  });
  if (it != cells->end()) return *it;
  cells->push_back(wanted);
  return cells->back();
}

void add_to(const Cell& part, Cell* cell) {
  const auto old = static_cast<double>(cell->trials), added = static_cast<double>(part.trials);
  cell->chance = (cell->chance * old + part.chance * added) / (old + added);
  cell->trials += part.trials;
  cell->sum += part.sum;
  cell->sum_of_squares += part.sum_of_squares;
  cell->is_binary = cell->is_binary && part.is_binary;
}

Cell empty_like(Cell cell) {
  cell.trials = 0;
  cell.sum = cell.sum_of_squares = cell.chance = 0.0;
  cell.is_binary = true;
  return cell;
}

}  // namespace

Estimate wilson_interval(double hits, int64_t trials) {
  if (trials <= 0) throw std::logic_error("an interval of no trials");
  const auto n = static_cast<double>(trials);
  const double share = hits / n, z2 = kQuantile * kQuantile;
  const double centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
  const double half =
      kQuantile * std::sqrt(share * (1.0 - share) / n + z2 / (4.0 * n * n)) / (1.0 + z2 / n);
  return {share, std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

Estimate normal_interval(double sum, double sum_of_squares, int64_t trials) {
  if (trials <= 0) throw std::logic_error("an interval of no trials");
  const auto n = static_cast<double>(trials);
  const double mean = sum / n;
  if (trials == 1) return {mean, 0.0, 1.0};
  const double variance = std::max(0.0, (sum_of_squares - sum * mean) / (n - 1.0));
  const double half = kQuantile * std::sqrt(variance / n);
  return {mean, std::max(0.0, mean - half), std::min(1.0, mean + half)};
}

Estimate Cell::estimate() const {
  return is_binary ? wilson_interval(sum, trials) : normal_interval(sum, sum_of_squares, trials);
}

void add_scores(const TaskSample& sample, const std::vector<Score>& scores,
                std::vector<Cell>* cells) {
  for (const Score& score : scores) {
    Cell part{sample.task, sample.kind, score.metric, sample.length, sample.depth};
    part.trials = 1;
    part.sum = score.value;
    part.sum_of_squares = score.value * score.value;
    part.is_binary = score.is_binary;
    part.chance = sample.chance;
    add_to(part, &cell_like(empty_like(part), cells));
  }
}

std::vector<Cell> over_depths(const std::vector<Cell>& cells) {
  std::vector<Cell> sums;
  for (const Cell& cell : cells) {
    Cell whole = empty_like(cell);
    whole.depth = kNoDepth;
    add_to(cell, &cell_like(whole, &sums));
  }
  return sums;
}

}  // namespace lococo
