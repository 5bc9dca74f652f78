// Running out of memory is the user's to mend, whoever notices it.
#pragma once

#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

namespace lococo {

/// "not enough memory (20.00 GiB more were asked for): ..." when `error` says that the memory of
/// the machine or of a GPU is used up: std::bad_alloc, an absurd size of a container, or one of
/// torch's allocators, which have no type of their own that a file without torch could name. Else
/// nothing.
inline std::optional<std::string> memory_error_line(const std::exception& error) {
  const std::string text = error.what();
  const auto says = [&](const char* words) { return text.find(words) != std::string::npos; };
  const bool is_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                         dynamic_cast<const std::length_error*>(&error) != nullptr ||
                         says("can't allocate memory") || says("out of memory") ||
                         says("Storage size calculation overflowed") ||
                         says("STATUS_ALLOC_FAILED") || says("numel: integer multiplication");
  if (!is_memory) return std::nullopt;
  std::string amount;
  const std::string before = "ried to allocate ";
  if (const size_t begin = text.find(before); begin != std::string::npos) {
    const size_t number = begin + before.size();
    const size_t unit = text.find(' ', number);
    if (unit != std::string::npos) {
      const size_t end = text.find_first_of(" .,\n", unit + 1);
      amount = " (" + text.substr(number, end - number) + " more were asked for)";
    }
  }
  return "not enough memory" + amount +
         ": reduce train.micro_batch, data.context_length, cache.slots, eval.batch or "
         "eval.lengths, "
         "use model.dtype=bfloat16 or a smaller model; lococo-train --dry-run estimates what a run "
         "needs";
}

}  // namespace lococo
