// Lets a test in another language ask a tokenizer: requests on standard input, answers on standard
// output, little-endian.
//
//   request   kind (1 byte), size of the payload (4), payload
//   answer    number of ids (4), ids (4 each), size of their text (4), text
//
// Kinds: 'e' encode and 'o' encode_ordinary of a text, 'd' decode of ids, 'i' for the ids BOS, EOS
// and the size of the vocabulary. An id that cannot be decoded ends the program.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace {

using Ids = std::vector<int32_t>;

bool read_exactly(void* out, size_t size) { return std::fread(out, 1, size, stdin) == size; }

void write_list(const void* elements, size_t count, size_t size_of_each) {
  const auto number = static_cast<uint32_t>(count);
  std::fwrite(&number, sizeof(number), 1, stdout);
  if (count > 0) std::fwrite(elements, size_of_each, count, stdout);
}

Ids answer_ids(const lococo::Tokenizer& tokenizer, char kind, const std::string& payload) {
  if (kind == 'e') return tokenizer.encode(payload);
  if (kind == 'o') return tokenizer.encode_ordinary(payload);
  if (kind == 'i')
    return {tokenizer.bos_id(), tokenizer.eos_id(), static_cast<int32_t>(tokenizer.vocab_size())};
  Ids ids(payload.size() / sizeof(int32_t));
  if (!ids.empty()) std::memcpy(ids.data(), payload.data(), ids.size() * sizeof(int32_t));
  return ids;
}

void serve(const lococo::Tokenizer& tokenizer) {
  char kind = 0;
  uint32_t size = 0;
  while (read_exactly(&kind, 1) && read_exactly(&size, sizeof(size))) {
    std::string payload(size, '\0');
    if (!read_exactly(payload.data(), size)) return;
    const Ids ids = answer_ids(tokenizer, kind, payload);
    const std::string text = kind == 'i' ? "" : tokenizer.decode(ids);
    write_list(ids.data(), ids.size(), sizeof(int32_t));
    write_list(text.data(), text.size(), 1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    serve(*lococo::load_tokenizer(argv[1]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
