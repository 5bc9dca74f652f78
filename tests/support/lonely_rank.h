// A rank among others that are not there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "dist/communicator.h"

namespace lococo::testing {

/// What ranks bring to one sum over all of them.
struct Numbers {
  std::vector<double> values;
  std::vector<int64_t> counts;

  void add(const Numbers& other) {
    values.resize(std::max(values.size(), other.values.size()));
    counts.resize(std::max(counts.size(), other.counts.size()));
    for (size_t i = 0; i < other.values.size(); ++i) values[i] += other.values[i];
    for (size_t i = 0; i < other.counts.size(); ++i) counts[i] += other.counts[i];
  }
};

/// Thrown where a rank ends all of them.
struct AllEnded {
  int code;
};

/// One of several ranks without the others: what they would add to each sum is given.
class LonelyRank : public Communicator {
 public:
  LonelyRank(int rank, int size, std::vector<Numbers> others = {})
      : rank_(rank), size_(size), others_(std::move(others)) {}

  /// What this rank brought to each sum.
  const std::vector<Numbers>& given() const { return given_; }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return rank_; }
  int local_size() const override { return size_; }
  void all_reduce_sum_numbers(std::vector<double>& values, std::vector<int64_t>& counts) override {
    Numbers sum = {values, counts};
    given_.push_back(sum);
    if (!others_.empty()) sum.add(others_.at(given_.size() - 1));
    values = sum.values;
    counts = sum.counts;
  }
  int64_t all_reduce_sum_int(int64_t value) override { return value; }
  int64_t all_reduce_max_int(int64_t value) override { return value; }
  void all_reduce_sum(std::vector<torch::Tensor>&) override {}
  void reduce_scatter_sum(torch::Tensor&) override {}
  void all_gather(torch::Tensor&) override {}
  void broadcast(torch::Tensor&, int) override {}
  std::string broadcast_text(const std::string& text, int) override { return text; }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { throw std::logic_error("alone"); }
  std::unique_ptr<Channel> open_channel(const std::string&) override {
    throw std::logic_error("alone");
  }
  [[noreturn]] void abort(int code) override { throw AllEnded{code}; }

 private:
  int rank_, size_;
  std::vector<Numbers> others_, given_;
};

}  // namespace lococo::testing
