// The linear layers of a decoder layer, which LoRA may be put on, by their Hugging Face names.
#pragma once

#include <algorithm>
#include <array>
#include <string>

namespace lococo {

inline constexpr std::array<const char*, 7> kProjections = {
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

inline bool is_projection(const std::string& name) {
  return std::find(kProjections.begin(), kProjections.end(), name) != kProjections.end();
}

/// "q_proj, k_proj, ..., down_proj", for messages.
inline std::string projections_text() {
  std::string text;
  for (const char* name : kProjections) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace lococo
