#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "core/hash.h"
#include "data/mix_cycle.h"
#include "tests/data/token_samples.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kVocab = 1 << 20;

/// One source of counted documents: token i of the joined documents is i.
struct Counted {
  explicit Counted(const std::vector<int64_t>& lengths)
      : file(std::make_shared<const TokenFile>(
            write_tokens(folder / "a.tokens", counted_documents(lengths), kVocab))),
        total(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})) {}

  Dataset dataset(Sampling sampling, int64_t context, int64_t min_document_tokens = 0) const {
    return Dataset({{file, 1.0}}, sampling, context, min_document_tokens);
  }

  TemporaryFolder folder;
  std::shared_ptr<const TokenFile> file;
  int64_t total;
};

/// The packed stream of a source, [0, count), put together from its sequences.
std::vector<int64_t> stream_of(const Dataset& dataset, uint64_t seed, int64_t context,
                               int64_t count) {
  std::vector<int64_t> stream{dataset.sequence(seed, 0).tokens[0]};
  for (int64_t k = 0; static_cast<int64_t>(stream.size()) < count; ++k) {
    const Sequence sequence = dataset.sequence(seed, k);
    CHECK(sequence.begin == k * context);
    CHECK(sequence.tokens[0] == stream.back());  // what was the last target is the first input
    stream.insert(stream.end(), sequence.tokens.begin() + 1, sequence.tokens.end());
  }
  stream.resize(static_cast<size_t>(count));
  return stream;
}

}  // namespace

TEST_CASE("Hashes differ in every argument and are spread evenly", "[data]") {
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 1000; ++i) {
    seen.insert({hash_u64(i, 0), hash_u64(1u << 30, i + 1), hash_u64(1u << 30, 0, i + 1),
                 hash_u64(1u << 30, 0, 0, i + 1)});
  }
  CHECK(seen.size() == 4000);
  CHECK(hash_u64(1, 2, 3) != hash_u64(1, 3, 2));
  CHECK(hash_u64(7, 1, 2, 3) ==
        0x19EA39DD3E86F88Eull);  // must never change: it fixes all data orders
  double sum = 0.0;
  std::vector<int> counts(10);
  for (uint64_t i = 0; i < 100000; ++i) {
    const double u = uniform01(hash_u64(3, i));
    CHECK((u >= 0.0 && u < 1.0));
    sum += u;
    ++counts[uniform_below(hash_u64(4, i), 10)];
  }
  CHECK(std::abs(sum / 100000 - 0.5) < 0.004);
  for (const int count : counts) CHECK(std::abs(count - 10000) < 500);
}

TEST_CASE("Random windows are slices of the joined documents at uniform starts", "[data]") {
  const Counted source({30, 1, 0, 45, 24});  // 100 tokens, 91 starts
  const Dataset dataset = source.dataset(Sampling::kRandomWindow, 9);
  std::vector<int> counts(91);
  constexpr int kDraws = 91 * 400;
  for (int64_t i = 0; i < kDraws; ++i) {
    const Sequence sequence = dataset.sequence(5, i);
    REQUIRE(sequence.tokens.size() == 10);
    REQUIRE((sequence.begin >= 0 && sequence.begin < 91));
    for (int64_t t = 0; t < 10; ++t) {
      REQUIRE(sequence.tokens[static_cast<size_t>(t)] == sequence.begin + t);
    }
    ++counts[static_cast<size_t>(sequence.begin)];
  }
  double chi_square = 0.0;
  for (const int count : counts) chi_square += (count - 400.0) * (count - 400.0) / 400.0;
  // 90 degrees of freedom: mean 90, standard deviation 13.4
  CHECK((chi_square > 50.0 && chi_square < 140.0));
}

TEST_CASE("A source of exactly one window has one start", "[data]") {
  const Counted source({4, 6});
  CHECK(source.dataset(Sampling::kRandomWindow, 9).sequence(1, 3).begin == 0);
  const auto open = [&] { source.dataset(Sampling::kRandomWindow, 10); };
  CHECK_CONTAINS(user_error_of(open), "needs 11");
}

TEST_CASE("Sequences are a pure function of seed and index", "[data]") {
  const Counted source({300, 17, 0, 45, 1, 240, 90, 307});
  const Sampling sampling = GENERATE(Sampling::kRandomWindow, Sampling::kPacked);
  const Dataset first = source.dataset(sampling, 16);
  const Dataset second = source.dataset(sampling, 16);
  // Forwards in one, backwards and jumping over many epochs in the other.
  std::vector<Sequence> forwards;
  for (int64_t i = 0; i < 400; ++i) forwards.push_back(first.sequence(9, i));
  for (int64_t i = 399; i >= 0; --i) {
    second.sequence(9, i * 1000);
    second.sequence(10, i);
    const Sequence again = second.sequence(9, i);
    CHECK(again.tokens == forwards[static_cast<size_t>(i)].tokens);
    CHECK(again.begin == forwards[static_cast<size_t>(i)].begin);
  }
  int same = 0;
  for (int64_t i = 0; i < 400; ++i) {
    same += first.sequence(10, i).tokens == forwards[static_cast<size_t>(i)].tokens ? 1 : 0;
  }
  CHECK(same < 40);
}

TEST_CASE("Several threads draw the sequences that one thread draws", "[data]") {
  const Counted source({300, 17, 45, 240, 90, 308});
  const Dataset dataset = source.dataset(Sampling::kPacked, 16);
  std::vector<Sequence> expected;
  for (int64_t i = 0; i < 500; ++i) expected.push_back(dataset.sequence(2, i * 7));
  std::vector<Sequence> drawn(500);
  std::vector<std::thread> ranks;
  for (int64_t rank = 0; rank < 4; ++rank) {
    ranks.emplace_back([&, rank] {
      for (int64_t i = rank; i < 500; i += 4) {
        drawn[static_cast<size_t>(i)] = dataset.sequence(2, i * 7);
      }
    });
  }
  for (auto& rank : ranks) rank.join();
  for (size_t i = 0; i < 500; ++i) CHECK(drawn[i].tokens == expected[i].tokens);
}

TEST_CASE("In one packed epoch every token is a target exactly once", "[data]") {
  const Counted source({30, 1, 0, 45, 24, 7, 90});
  const int64_t context = GENERATE(int64_t{1}, int64_t{9}, int64_t{64}, int64_t{197}, int64_t{500});
  const Dataset dataset = source.dataset(Sampling::kPacked, context);
  const int64_t total = source.total;
  const auto stream = stream_of(dataset, 3, context, 4 * total);
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    // Stream positions from 1 on are the targets, each in exactly one sequence.
    const auto begin = stream.begin() + epoch * total;
    std::vector<int64_t> tokens(begin, begin + total);
    std::sort(tokens.begin(), tokens.end());
    for (int64_t t = 0; t < total; ++t) CHECK(tokens[static_cast<size_t>(t)] == t);
  }
}

TEST_CASE("A packed epoch keeps documents whole and shuffles their order anew", "[data]") {
  const Counted source(std::vector<int64_t>(50, 20));
  const Dataset dataset = source.dataset(Sampling::kPacked, 10);
  const auto stream = stream_of(dataset, 3, 10, 3 * source.total);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t d = 0; d < 50; ++d) {
      const auto begin = stream.begin() + epoch * source.total + d * 20;
      for (int64_t t = 0; t < 20; ++t) CHECK(begin[t] == *begin + t);
      CHECK(*begin % 20 == 0);
      order.push_back(*begin / 20);
    }
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    orders.insert(order);
  }
  CHECK(orders.size() == 3);
  CHECK(stream_of(dataset, 4, 10, 1000) != stream_of(dataset, 3, 10, 1000));
}

TEST_CASE("The shuffled order puts every document on every place equally often", "[data]") {
  const Counted source({1, 1, 1, 1, 1});
  const Dataset dataset = source.dataset(Sampling::kPacked, 5);
  std::map<std::pair<int64_t, int64_t>, int> counts;
  for (int64_t epoch = 0; epoch < 5000; ++epoch) {
    const Sequence sequence = dataset.sequence(1, epoch);
    for (int64_t place = 0; place < 5; ++place) {
      ++counts[{place, sequence.tokens[static_cast<size_t>(place)]}];
    }
  }
  CHECK(counts.size() == 25);
  for (const auto& [where, count] : counts) CHECK(std::abs(count - 1000) < 130);
}

TEST_CASE("Documents below the least length are left out and counted", "[data]") {
  const Counted source({30, 5, 0, 45, 4, 20});
  const Sampling sampling = GENERATE(Sampling::kRandomWindow, Sampling::kPacked);
  const Dataset dataset = source.dataset(sampling, 8, /*min_document_tokens=*/6);
  CHECK(dataset.num_documents(0) == 3);
  CHECK(dataset.num_left_out(0) == 3);
  CHECK(dataset.num_tokens(0) == 95);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 500; ++i) {
    for (const int64_t token : dataset.sequence(1, i).tokens) seen.insert(token);
  }
  CHECK(seen.size() == 95);
  for (const int64_t left_out : {30, 34, 80, 83}) CHECK(seen.count(left_out) == 0);
  CHECK_CONTAINS(user_error_of([&] { source.dataset(sampling, 8, 46); }), "min_document_tokens");
}

TEST_CASE("A mix serves its sources by weight in every stretch of sequences", "[data]") {
  const MixCycle mix({1.0, 3.0, 0.5, 5.5});
  std::vector<int64_t> counts(4);
  const std::vector<double> shares{0.1, 0.3, 0.05, 0.55};
  for (int64_t i = 0; i < 25000; ++i) {
    const auto turn = mix.turn(i);
    REQUIRE(turn.index == counts[static_cast<size_t>(turn.source)]);  // counted without a gap
    ++counts[static_cast<size_t>(turn.source)];
    for (size_t s = 0; s < 4; ++s) {
      REQUIRE(std::abs(static_cast<double>(counts[s]) - shares[s] * static_cast<double>(i + 1)) <
              2.0);
    }
  }
}

TEST_CASE("A mix of extreme weights gives each source at least one slot", "[data]") {
  const MixCycle mix({1e-9, 1.0, 1e-9});
  CHECK(mix.length() == 10000);
  CHECK((mix.slots_of(0) == 1 && mix.slots_of(1) == 9998 && mix.slots_of(2) == 1));
  const MixCycle thirds({1.0, 1.0, 1.0});
  CHECK(thirds.slots_of(0) + thirds.slots_of(1) + thirds.slots_of(2) == thirds.length());
  CHECK(MixCycle(std::vector<double>(2500, 1.0)).length() == 30000);
}

TEST_CASE("Each source of a mix keeps its own packed stream", "[data]") {
  const Counted one({40, 13, 7});
  const Counted two({25, 50});
  const Dataset mixed({{one.file, 1.0}, {two.file, 2.0}}, Sampling::kPacked, 6);
  const Dataset alone = one.dataset(Sampling::kPacked, 6);
  int64_t served = 0;
  for (int64_t i = 0; i < 300; ++i) {
    const Sequence sequence = mixed.sequence(8, i);
    if (sequence.source != 0) continue;
    CHECK(sequence.tokens == alone.sequence(8, served).tokens);
    ++served;
  }
  CHECK(served == 100);
}

TEST_CASE("Two sources of the same file do not draw the same windows", "[data]") {
  const Counted source({5000});
  const Dataset mixed({{source.file, 1.0}, {source.file, 1.0}}, Sampling::kRandomWindow, 6);
  std::set<int64_t> starts;
  for (int64_t i = 0; i < 20; ++i) starts.insert(mixed.sequence(8, i).begin);
  CHECK(starts.size() >= 19);
}

TEST_CASE("A dataset without sources or with a weight that is not positive is refused", "[data]") {
  const Counted source({100});
  const auto open = [&](double weight) {
    return user_error_of([&] { Dataset({{source.file, weight}}, Sampling::kPacked, 6); });
  };
  CHECK_CONTAINS(open(0.0), "weight");
  CHECK_CONTAINS(open(-1.0), "weight");
  CHECK_CONTAINS(open(std::nan("")), "weight");
  CHECK_CONTAINS(user_error_of([&] { Dataset({}, Sampling::kPacked, 6); }), "no source");
}
