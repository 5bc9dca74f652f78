#include "tokenizer/bpe_tables.h"

#include <string>

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("Merges are found by their pair, with their rank", "[tokenizer]") {
  std::vector<Merge> merges;
  for (int32_t i = 0; i < 1000; ++i) merges.push_back({i, 7 * i, i + 5000});
  merges.push_back({3, 21, 9999});  // the pair of the fourth again
  const MergeTable table(merges);
  CHECK(table.find(10, 70).rank == 10);
  CHECK(table.find(10, 70).merged == 5010);
  CHECK(table.find(3, 21).rank == 1000);
  CHECK(table.find(3, 21).merged == 9999);
  CHECK(table.find(70, 10).rank == MergeTable::kNoRank);
  CHECK(MergeTable({}).find(0, 0).rank == MergeTable::kNoRank);
}

TEST_CASE("Words are found by their bytes", "[tokenizer]") {
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(std::string("w\0", 2) + std::to_string(i));
  std::vector<WordTable::Word> words;
  for (int32_t i = 0; i < 1000; ++i) words.push_back({texts[i], i});
  const WordTable table(words);
  for (int32_t i = 0; i < 1000; ++i) CHECK(table.find(texts[i]) == i);
  CHECK(table.find("w") == -1);
  CHECK(WordTable({}).find("w") == -1);
}
