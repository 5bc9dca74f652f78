#include "tokenizer/bpe_model.h"

#include <random>

#include "tests/support/catch.h"
#include "tokenizer/bpe_tables.h"

using namespace lococo;

namespace {

using Ids = std::vector<int32_t>;

/// Letters a ... d, then random merges of what is there.
BpeVocabulary random_vocabulary(int seed, int merges) {
  std::mt19937 random(seed);
  BpeVocabulary made;
  made.bytes_of = {"a", "b", "c", "d"};
  for (int i = 0; i < merges; ++i) {
    const auto any = [&] { return static_cast<int32_t>(random() % made.bytes_of.size()); };
    const Merge merge{any(), any(), static_cast<int32_t>(made.bytes_of.size())};
    made.bytes_of.push_back(made.bytes_of[merge.left] + made.bytes_of[merge.right]);
    made.merges.push_back(merge);
  }
  return made;
}

Ids encoded(const BpeModel& model, const std::string& word) {
  Ids ids;
  model.encode_word(word, &ids);
  return ids;
}

}  // namespace

TEST_CASE("All ways to encode a word are the definition", "[tokenizer]") {
  std::mt19937 random(5);
  for (int seed = 0; seed < 20; ++seed) {
    const BpeModel model(random_vocabulary(seed, 30));
    for (int i = 0; i < 200; ++i) {
      std::string word(1 + random() % 80, 'a');
      const unsigned letters = 1 + random() % 4;
      for (char& c : word) c = static_cast<char>('a' + random() % letters);
      Ids by_definition, with_heap;
      model.merge_by_definition(word, &by_definition);
      model.merge_with_heap(word, &with_heap);
      INFO(seed << " " << word);
      CHECK(with_heap == by_definition);
      CHECK(encoded(model, word) == by_definition);
    }
  }
}

TEST_CASE("The merges' order decides, then the place", "[tokenizer]") {
  BpeVocabulary made;
  made.bytes_of = {"a", "b", "c", "bc", "ab", "aa"};
  made.merges = {{1, 2, 3}, {0, 1, 4}, {0, 0, 5}};
  CHECK(encoded(BpeModel(made), "abc") == Ids{0, 3});
  CHECK(encoded(BpeModel(made), "aba") == Ids{4, 0});
  CHECK(encoded(BpeModel(made), "aaa") == Ids{5, 0});
}

TEST_CASE("A word that is a token need not be what the merges make", "[tokenizer]") {
  BpeVocabulary made;
  made.bytes_of = {"a", "b", "c", "ab", "abc"};  // nothing makes abc
  made.merges = {{0, 1, 3}};
  CHECK(encoded(BpeModel(made), "abc") == Ids{3, 2});
  made.ignore_merges = true;
  CHECK(encoded(BpeModel(made), "abc") == Ids{4});
  CHECK(encoded(BpeModel(made), "abcc") == Ids{3, 2, 2});
}

TEST_CASE("Bytes without a token are left out, or unknown, once or each", "[tokenizer]") {
  BpeVocabulary made;
  made.bytes_of = {"a", "?"};
  CHECK(encoded(BpeModel(made), "axya") == Ids{0, 0});
  made.unknown = 1;
  CHECK(encoded(BpeModel(made), "axya") == Ids{0, 1, 1, 0});
  made.fuse_unknown = true;
  CHECK(encoded(BpeModel(made), "axyaz") == Ids{0, 1, 0, 1});
}

TEST_CASE("A word of a megabyte takes no time", "[tokenizer]") {
  const BpeModel model(random_vocabulary(1, 30));
  const std::string word(1 << 20, 'a');
  size_t bytes = 0;
  const BpeVocabulary same = random_vocabulary(1, 30);
  for (const int32_t id : encoded(model, word)) bytes += same.bytes_of[id].size();
  CHECK(bytes == word.size());
}
