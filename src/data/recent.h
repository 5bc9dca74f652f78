// The last few values of a function that takes a while.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

namespace lococo {

/// Values by their keys, made where they are not among the last ones made. Not safe for threads.
template <typename Key, typename Value>
class Recent {
 public:
  /// What is asked for in order may straddle two keys; a third keeps threads that lag behind from
  /// making a value again.
  static constexpr size_t kMostKept = 3;

  /// The value of `key`, from `make` if need be; it stays until kMostKept others were made.
  template <typename Make>
  const Value& get(const Key& key, Make make) {
    for (const auto& [known, value] : values_) {
      if (known == key) return value;
    }
    values_.emplace_back(key, make());
    if (values_.size() > kMostKept) values_.pop_front();
    return values_.back().second;
  }

 private:
  std::deque<std::pair<Key, Value>> values_;
};

}  // namespace lococo
