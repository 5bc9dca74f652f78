// What surrounds that which is asked: novels, or a few sentences that say nothing, again and again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lococo {

/// Texts cut into units (sentences), in the order of the texts; after the last unit comes the first
/// again. Texts keep their own blanks and line breaks.
class Hay {
 public:
  struct Unit {
    std::string_view text;       ///< without blanks around it
    std::string_view separator;  ///< the blanks that follow in the text
    int64_t num_words = 0;
  };

  /// One document a text (data/documents.h); throws UserError as that does, and for texts without
  /// words.
  static Hay of_documents(const std::vector<std::string>& paths, const std::string& text_field);
  /// The same for the paths that a config has under `key`; throws UserError for no path and for a
  /// file of tokens too, whose line ends with `needs`: "a task needs texts".
  static Hay of_key(const std::string& key, const std::vector<std::string>& paths,
                    const std::string& text_field, const std::string& needs);
  /// What of_key() refuses without opening a text.
  static void check_key(const std::string& key, const std::vector<std::string>& paths,
                        const std::string& needs);
  static Hay of_texts(std::vector<std::string> texts);
  /// LongLoRA's passkey: its five sentences, one after another, as one endless line.
  static Hay filler();
  /// RULER's noise: the same sentences with a line for all five.
  static Hay filler_lines();

  Hay(Hay&&) = default;
  Hay& operator=(Hay&&) = default;

  int64_t num_words() const;
  uint64_t fingerprint() const;  ///< of the texts, in their order
  int64_t num_units() const { return static_cast<int64_t>(units_.size()); }
  /// `index` may be past the end: units go round.
  const Unit& unit(int64_t index) const { return units_[static_cast<size_t>(index % num_units())]; }
  /// The unit where a stretch begins, drawn by `hash`: a text, in proportion to its units, and a
  /// place in it that leaves `num_words` words to its end. A text that is too short gives way to
  /// the next one; where all are, any unit is drawn. So the text is the same for most lengths, and
  /// the place moves a little. Filler begins at 0.
  int64_t draw_start(uint64_t hash, int64_t num_words) const;
  /// About `num_words` words from a unit on; at most all units once.
  std::string text_from(int64_t index, int64_t num_words) const;
  /// Filler may go round, a text that comes twice would tell twice what was asked.
  bool repeats() const { return repeats_; }
  /// What stands behind a sentence that is put between two units.
  std::string_view insert_separator() const { return insert_separator_; }
  /// Whether one may stand behind a unit: in filler lines, behind whole lines.
  bool may_insert_behind(int64_t index) const {
    return insert_separator_ == " " || unit(index).separator == insert_separator_;
  }

 private:
  Hay() = default;
  std::vector<std::string> texts_;  // units point into them: never changed, and moved as a whole
  std::vector<Unit> units_;
  std::vector<int64_t> text_begin_;  // first unit of each text, and the number of all
  std::vector<int64_t> words_left_;  // from a unit to the end of its text
  std::string_view insert_separator_ = " ";
  bool repeats_ = false;
};

}  // namespace lococo
