// TensorBoard event files, written by hand: TFRecord frames around Event messages, no protobuf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace lococo {

/// CRC-32C (Castagnoli) of the bytes.
uint32_t crc32c(std::string_view bytes);

/// A TFRecord: length, masked checksum of the length, `payload`, masked checksum of it.
std::string tfrecord(std::string_view payload);

/// A serialised Event message with one scalar for each value. Times are Unix seconds.
std::string scalar_event(double wall_time, int64_t step,
                         const std::map<std::string, double>& values);

/// One new events.out.tfevents.* file in a folder.
class EventFile {
 public:
  /// `resumed_step` > 0: readers drop events of later steps that an earlier run left in the folder.
  /// Throws UserError when the file cannot be written.
  EventFile(const std::string& folder, int64_t resumed_step);

  /// One event of the current time with a scalar for each tag, flushed.
  void write(int64_t step, const std::map<std::string, double>& values);

  const std::string& path() const { return path_; }

 private:
  void append(const std::string& payload);

  std::string path_;
};

}  // namespace lococo
