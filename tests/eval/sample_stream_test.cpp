#include "eval/sample_stream.h"

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace lococo;

namespace {

constexpr int64_t kSamples = 7;

/// What several sources have been asked for.
struct Asked {
  std::mutex lock;
  std::multiset<int64_t> indices;
};

class NumberedSource final : public TaskSource {
 public:
  explicit NumberedSource(Asked& asked) : asked_(asked) {}
  int64_t size() const override { return kSamples; }
  TaskSample sample(int64_t index) override {
    const std::lock_guard<std::mutex> guard(asked_.lock);
    asked_.indices.insert(index);
    TaskSample made;
    made.trial = index;
    return made;
  }

 private:
  Asked& asked_;
};

std::vector<int64_t> trials_of(SampleStream& stream) {
  std::vector<int64_t> trials;
  for (auto some = stream.next(); !some.empty(); some = stream.next()) {
    for (const TaskSample& sample : some) trials.push_back(sample.trial);
  }
  return trials;
}

const std::vector<int64_t> kInOrder = {0, 1, 2, 3, 4, 5, 6};

}  // namespace

TEST_CASE("Samples come in their order from any number of threads and windows", "[eval]") {
  for (const int64_t threads : {1, 2, 5}) {
    for (const int64_t window : {1, 3, 20}) {
      Asked asked;
      SampleStream stream([&] { return std::make_unique<NumberedSource>(asked); }, threads, window);
      CHECK(trials_of(stream) == kInOrder);
      CHECK(asked.indices == std::multiset<int64_t>(kInOrder.begin(), kInOrder.end()));
    }
  }
}

TEST_CASE("Samples that are made already are taken, not made again", "[eval]") {
  Asked asked;
  MadeSamples made;
  for (const int64_t index : {1, 4}) {
    made[index].trial = index;
    made[index].context_ids = {7, 8};
  }
  SampleStream stream([&] { return std::make_unique<NumberedSource>(asked); }, 2, 3, made);
  const auto first = stream.next();
  REQUIRE(first.size() == 3);
  CHECK(first[1].context_ids == std::vector<int32_t>{7, 8});
  CHECK(first[2].context_ids.empty());
  CHECK(trials_of(stream) == std::vector<int64_t>{3, 4, 5, 6});
  CHECK(asked.indices == std::multiset<int64_t>{0, 2, 3, 5, 6});
}
