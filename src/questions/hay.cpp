#include "questions/hay.h"

#include <xxhash.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "data/documents.h"
#include "data/token_file.h"
#include "questions/sentences.h"

namespace lococo {
namespace {

// The sentences of LongLoRA's and RULER's repeated noise.
constexpr const char* kFiller =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

}  // namespace

Hay Hay::of_texts(std::vector<std::string> texts) {
  Hay hay;
  hay.texts_ = std::move(texts);
  for (const std::string& text : hay.texts_) {
    const std::string_view view = text;
    const auto first = static_cast<std::ptrdiff_t>(hay.units_.size());
    hay.text_begin_.push_back(first);
    for (const Sentence& s : split_sentences(view)) {
      hay.units_.push_back({view.substr(s.begin, s.end - s.begin),
                            view.substr(s.end, s.separator_end - s.end),
                            static_cast<int64_t>(s.num_words)});
    }
    hay.words_left_.resize(hay.units_.size());
    int64_t left = 0;
    for (auto u = static_cast<std::ptrdiff_t>(hay.units_.size()) - 1; u >= first; --u) {
      left += hay.units_[static_cast<size_t>(u)].num_words;
      hay.words_left_[static_cast<size_t>(u)] = left;
    }
    // The last sentence of a text has nothing behind it; where the next text follows, a paragraph.
    if (hay.num_units() > first && hay.units_.back().separator.empty()) {
      hay.units_.back().separator = "\n";
    }
  }
  if (hay.units_.empty()) throw UserError("the texts that surround the questions hold no words");
  return hay;
}

Hay Hay::of_documents(const std::vector<std::string>& paths, const std::string& text_field) {
  std::vector<std::string> texts;
  for (const std::string& path : paths) {
    for_each_document(path, text_field, [&](const std::string&, std::string&& text) {
      texts.push_back(std::move(text));
    });
  }
  return of_texts(std::move(texts));
}

Hay Hay::of_key(const std::string& key, const std::vector<std::string>& paths,
                const std::string& text_field, const std::string& needs) {
  check_key(key, paths, needs);
  return of_documents(paths, text_field);
}

void Hay::check_key(const std::string& key, const std::vector<std::string>& paths,
                    const std::string& needs) {
  if (paths.empty())
    throw UserError(key + ": is empty; give the texts that surround what is asked");
  for (const std::string& path : paths) {
    const bool is_file = path_exists(path) && !is_folder(path);
    if (is_file && (path.ends_with(".bin") || TokenFile::has_magic(path)))
      throw UserError(key + ": " + path + " holds tokens; " + needs);
  }
}

int64_t Hay::num_words() const {
  int64_t words = 0;
  for (const Unit& unit : units_) words += unit.num_words;
  return words;
}

uint64_t Hay::fingerprint() const {
  uint64_t hash = 0;
  for (const std::string& text : texts_)
    hash = hash_u64(hash, XXH3_64bits(text.data(), text.size()), text.size());
  return hash;
}

Hay Hay::filler() {
  Hay hay = of_texts({kFiller});
  for (Unit& unit : hay.units_) unit.separator = " ";
  hay.repeats_ = true;
  return hay;
}

Hay Hay::filler_lines() {
  Hay hay = filler();
  hay.units_.back().separator = "\n";
  hay.insert_separator_ = "\n";
  return hay;
}

int64_t Hay::draw_start(uint64_t hash, int64_t num_words) const {
  if (repeats_) return 0;
  const auto drawn = static_cast<int64_t>(uniform_below(hash, units_.size()));
  const auto past = std::upper_bound(text_begin_.begin(), text_begin_.end(), drawn);
  const auto text = static_cast<size_t>(past - text_begin_.begin()) - 1;
  for (size_t i = 0; i < text_begin_.size(); ++i) {
    const size_t t = (text + i) % text_begin_.size();
    // Words left fall within a text, so the units that will do are its first ones.
    const auto begin = words_left_.begin() + text_begin_[t];
    const auto end =
        t + 1 < text_begin_.size() ? words_left_.begin() + text_begin_[t + 1] : words_left_.end();
    const auto fitting =
        std::partition_point(begin, end, [&](int64_t w) { return w >= num_words; }) - begin;
    const double share = uniform01(nth_of_stream(hash, 0));
    if (fitting > 0) {
      return text_begin_[t] + static_cast<int64_t>(share * static_cast<double>(fitting));
    }
  }
  return drawn;
}

std::string Hay::text_from(int64_t index, int64_t num_words) const {
  std::string text;
  for (int64_t u = 0; u < num_units() && num_words > 0; ++u) {
    const Unit& next = unit(index + u);
    text.append(next.text).append(next.separator);
    num_words -= next.num_words;
  }
  return text;
}

}  // namespace lococo
