// A small file that goes beside exported weights.
#pragma once

#include <string>

namespace lococo {

struct CompanionFile {
  std::string name;     ///< "tokenizer.json"
  std::string content;  ///< all of its bytes
};

}  // namespace lococo
