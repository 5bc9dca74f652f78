#include "report/tensorboard.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>

#include "report/append_file.h"

namespace lococo {
namespace {

// Field numbers and wire types of tensorflow's event.proto and summary.proto, as tag bytes.
constexpr char kEventWallTime = 1 << 3 | 1;     // double
constexpr char kEventStep = 2 << 3 | 0;         // varint
constexpr char kEventFileVersion = 3 << 3 | 2;  // string
constexpr char kEventSummary = 5 << 3 | 2;      // message
constexpr char kEventSessionLog = 7 << 3 | 2;   // message
constexpr char kSessionLogStatus = 1 << 3 | 0;  // varint; 1 = START
constexpr char kSummaryValue = 1 << 3 | 2;      // message
constexpr char kValueTag = 1 << 3 | 2;          // string
constexpr char kValueSimple = 2 << 3 | 5;       // float

template <typename Unsigned>
std::string little_endian(Unsigned value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(Unsigned); ++i) {
    bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  }
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  return bytes + static_cast<char>(value);
}

std::string length_delimited(char tag, std::string_view content) {
  return tag + varint(content.size()) + std::string(content);
}

std::string event_start(double wall_time, int64_t step) {
  return kEventWallTime + little_endian(std::bit_cast<uint64_t>(wall_time)) + kEventStep +
         varint(static_cast<uint64_t>(step));
}

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string new_file_name() {
  static std::atomic<int> count{0};  // several files of one process may fall into one second
  char host[256] = "unknown";
  gethostname(host, sizeof host - 1);
  return "events.out.tfevents." + std::to_string(static_cast<int64_t>(unix_time())) + "." + host +
         "." + std::to_string(getpid()) + "." + std::to_string(count++);
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t entry = i;
      for (int bit = 0; bit < 8; ++bit) entry = (entry >> 1) ^ (entry & 1 ? 0x82F63B78u : 0u);
      entries[i] = entry;
    }
    return entries;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(byte)) & 0xFF];
  return ~crc;
}

std::string tfrecord(std::string_view payload) {
  // The format masks its checksums, because a checksum of data that holds a checksum is weak.
  const auto masked = [](std::string_view bytes) {
    const uint32_t crc = crc32c(bytes);
    return little_endian<uint32_t>(((crc >> 15) | (crc << 17)) + 0xA282EAD8u);
  };
  const std::string length = little_endian<uint64_t>(payload.size());
  return length + masked(length) + std::string(payload) + masked(payload);
}

std::string scalar_event(double wall_time, int64_t step,
                         const std::map<std::string, double>& values) {
  std::string summary;
  for (const auto& [tag, value] : values) {
    const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
    summary += length_delimited(
        kSummaryValue, length_delimited(kValueTag, tag) + kValueSimple + little_endian(bits));
  }
  return event_start(wall_time, step) + length_delimited(kEventSummary, summary);
}

EventFile::EventFile(const std::string& folder, int64_t resumed_step)
    : path_(folder + "/" + new_file_name()) {
  append(event_start(unix_time(), 0) + length_delimited(kEventFileVersion, "brain.Event:2"));
  if (resumed_step > 0) {  // readers drop what older files say of this step and later ones
    append(event_start(unix_time(), resumed_step + 1) +
           length_delimited(kEventSessionLog, std::string{kSessionLogStatus, 1}));
  }
}

void EventFile::write(int64_t step, const std::map<std::string, double>& values) {
  append(scalar_event(unix_time(), step, values));
}

void EventFile::append(const std::string& payload) { append_to_file(path_, tfrecord(payload)); }

}  // namespace lococo
