// Scores of many samples as figures with intervals.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tasks/scoring.h"

namespace lococo {

/// A mean with its 95 % interval.
struct Estimate {
  double mean = 0.0, low = 0.0, high = 0.0;
};

/// Wilson's interval of a share: `hits` of `trials`, which is more than 0.
Estimate wilson_interval(double hits, int64_t trials);
/// mean +- 1.96 standard errors, within [0, 1]; one value says nothing: [0, 1].
Estimate normal_interval(double sum, double sum_of_squares, int64_t trials);

/// One figure of the samples of one kind, length and depth.
struct Cell {
  std::string task, kind, metric;
  int64_t length = 0;
  double depth = kNoDepth;
  int64_t trials = 0;
  double sum = 0.0, sum_of_squares = 0.0;  ///< of the scores; the sum of binary ones counts hits
  bool is_binary = true;                   ///< in all trials
  double chance = 0.0;                     ///< mean

  Estimate estimate() const;
};

/// Adds a sample's scores to the cells, which stay in the order of their first sample.
void add_scores(const TaskSample& sample, const std::vector<Score>& scores,
                std::vector<Cell>* cells);

/// The same cells without their depths: each sums those of one kind and length.
std::vector<Cell> over_depths(const std::vector<Cell>& cells);

}  // namespace lococo
