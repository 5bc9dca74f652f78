// Any text as a config: read, or a UserError of one line; what is read can be written and read.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "config/config_write.h"
#include "config/config_yaml.h"
#include "core/error.h"

namespace {

const char* const kSeed =
    "model: {path: base, rope_scaling: {type: linear, factor: 8.0}}\n"
    "data:\n"
    "  train: [a.txt, {path: b.jsonl, weight: 0.5}]\n"
    "  validation: v.txt\n"
    "  context_length: 32768\n"
    "cache:\n"
    "  policy: lococo\n"
    "  slots: 128\n"
    "  keep_fraction: 0.75\n"
    "  sinks: 4\n"
    "  local: 64\n"
    "tune: {conv: 1e-3, lora: 3e-4, lora_targets: [q_proj, v_proj]}\n"
    "train: {steps: 20, output: out, resume: auto, seed: 3}\n"
    "eval:\n"
    "  lengths: [1024, 2048]\n"
    "  far: 512\n"
    "export: {kind: merged, output: \"two\\nlines\"}\n";

/// What takes the place of a word or joins it: structure, odd scalars, other keys.
const char* const kWords[] = {
    "0",    "-1",        "1e-4",    "1.5",      "12x",   "9223372036854775808",
    "yes",  "null",      "~",       "{",        "}",     "[",
    "]",    ",",         ": ",      "\n",       "  ",    "- ",
    "? ",   "&a ",       "*a",      "!!str ",   "\"",    "'",
    "#",    "---\n",     "|",       ">",        "%",     "@",
    "\xff", "\t",        "\"\"",    "cache",    "slots", "slot",
    "type", "yarn",      "policy",  "<<",       "h2o",   "cache:",
    "x-y",  "factor: 4", "init: {", "\xc3\xa9", "train", "none",
    "!x ",  "!!int ",    "! ",      "[[[[",     "1e-30", "16777217"};

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '-';
}

/// The seed with a few words replaced, doubled or removed; each edit takes four bytes of the input.
std::string mutated_text(const uint8_t* data, size_t size) {
  std::string text = kSeed;
  for (size_t i = 0; i + 4 <= size && i < 24 && !text.empty(); i += 4) {
    size_t begin = (data[i] * size_t{256} + data[i + 1]) % text.size();
    while (begin > 0 && is_word(text[begin - 1]) && is_word(text[begin])) --begin;
    size_t end = begin + 1;
    while (end < text.size() && is_word(text[end]) && is_word(text[begin])) ++end;
    const std::string word = text.substr(begin, end - begin);
    const std::string other = kWords[data[i + 2] % std::size(kWords)];
    switch (data[i + 3] % 4) {
      case 0:
        text.replace(begin, end - begin, other);
        break;
      case 1:
        text.insert(begin, other);
        break;
      case 2:
        text.erase(begin, end - begin);
        break;
      default:
        text.insert(begin, word);
        break;
    }
  }
  return text;
}

void check(bool condition) {
  if (!condition) std::abort();
}

void parse(const std::string& text, const std::vector<std::string>& overrides) {
  std::string written;
  try {
    written = lococo::config_to_yaml(lococo::parse_config(text, "fuzz", overrides));
  } catch (const lococo::UserError& error) {
    check(std::strchr(error.what(), '\n') == nullptr);
    return;
  }
  check(lococo::config_to_yaml(lococo::parse_config(written, "written")) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string raw(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] % 8 == 0) {
    parse(raw.substr(1), {});
  } else if (size > 0 && data[0] % 8 == 1) {
    parse(kSeed, {"cache.slots=" + raw.substr(1)});
  } else {
    parse(mutated_text(data, size), {});
  }
  return 0;
}
