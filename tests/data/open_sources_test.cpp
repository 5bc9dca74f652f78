// From prepared sources to what is drawn from them.
#include "data/prepare.h"
#include "tests/data/prepare_place.h"
#include "tests/data/token_samples.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("Opening sources checks their tokens against the model's vocabulary", "[data]") {
  PreparePlace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  CHECK(open_sources({place.source}, place.config, &tokenizer, 30).size() == 1);
  CHECK_CONTAINS(user_error_of([&] { open_sources({place.source}, place.config, &tokenizer, 20); }),
                 "beyond the vocabulary of 20");
  const uint16_t ids[] = {5, 6, 7, 40, 3, 2, 1};
  write_text_file(place.folder / "raw.bin", std::string(reinterpret_cast<const char*>(ids), 14));
  DataSource raw;
  raw.path = place.folder / "raw.bin";
  CHECK_CONTAINS(user_error_of([&] { open_sources({raw}, place.config, nullptr, 50); }),
                 "data.raw_dtype");
  place.config.raw_dtype = RawTokenType::kUint16;
  CHECK(open_sources({raw}, place.config, nullptr, 50).front()->num_tokens() == 7);
  CHECK_CONTAINS(user_error_of([&] { open_sources({raw}, place.config, nullptr, 40); }),
                 "token 3 is id 40");
}

TEST_CASE("An opened dataset draws from text and raw tokens by weight", "[data]") {
  PreparePlace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  write_text_file(place.folder / "raw.bin", std::string(200, '\x05'));
  DataSource raw;
  raw.path = place.folder / "raw.bin";
  raw.weight = 3.0;
  place.config.raw_dtype = RawTokenType::kUint16;
  place.config.context_length = 8;
  const Dataset dataset = open_dataset({place.source, raw}, place.config, &tokenizer, 0x506);
  int64_t raw_sequences = 0;
  for (int64_t i = 0; i < 400; ++i) {
    const Sequence sequence = dataset.sequence(1, i);
    REQUIRE(sequence.tokens.size() == 9);
    if (sequence.source == 1) ++raw_sequences;
    CHECK((sequence.tokens[0] == 0x505) == (sequence.source == 1));
  }
  CHECK(raw_sequences == 300);
}

TEST_CASE("Too little text is told of the file that was given", "[data]") {
  PreparePlace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  place.config.context_length = 1 << 20;
  const std::string line =
      user_error_of([&] { open_dataset({place.source}, place.config, &tokenizer, 0); });
  CHECK(line.starts_with(place.source.path + ": "));
  CHECK_CONTAINS(line, "data.context_length 1048576 needs 1048577");
  CHECK(line.find(".tokens:") == std::string::npos);
}

TEST_CASE("A model's tokenizer is tokenizer.model, else tokenizer.json", "[data]") {
  const TemporaryFolder folder;
  CHECK(open_tokenizer(DataConfig(), "") == nullptr);
  CHECK(open_tokenizer(DataConfig(), folder.path()) == nullptr);
  write_json(folder / "tokenizer.json", tiny_bpe());
  CHECK(open_tokenizer(DataConfig(), folder.path())->vocab_size() == kBpeVocabulary);
  write_tiny_tokenizer(folder / "tokenizer.model");
  CHECK(open_tokenizer(DataConfig(), folder.path())->vocab_size() == 30);
  DataConfig config;
  config.tokenizer = folder / "tokenizer.json";
  CHECK(open_tokenizer(config, folder.path())->vocab_size() == kBpeVocabulary);
}
