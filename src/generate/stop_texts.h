// Texts that end an answer, found while it appears.
#pragma once

#include <string>
#include <vector>

namespace lococo {

/// Throws UserError for an empty one, which would end every answer.
void check_stop_texts(const std::vector<std::string>& texts);

/// Lets the text of an answer through up to the first of some texts, which is not shown: what may
/// still become one of them is held back. How the text is cut into pieces makes no difference.
class StopTexts {
 public:
  /// Throws as check_stop_texts() does.
  explicit StopTexts(std::vector<std::string> texts);

  /// What may be shown now that `piece` has come too; nothing after a stop text.
  std::string add(const std::string& piece);

  /// What was held back, at the end of an answer.
  std::string finish();

  bool found() const { return found_; }

 private:
  std::vector<std::string> texts_;
  std::string held_;
  bool found_ = false;
};

}  // namespace lococo
