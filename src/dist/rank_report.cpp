#include "dist/rank_report.h"

#include <cmath>
#include <sstream>

namespace lococo {
namespace {

constexpr const char* kFirstWord = "lococo-rank";

}  // namespace

// Words with blanks between, and what it is at as the rest of the line. One digit for each rank
// says whether that one is awaited.
std::string encode(const RankReport& report, uint64_t run, int size) {
  std::string awaited(static_cast<size_t>(size), '0');
  for (const int rank : report.activity.awaited) awaited[static_cast<size_t>(rank)] = '1';
  std::ostringstream text;
  text << kFirstWord << ' ' << run << ' ' << size << ' ' << report.rank << ' '
       << report.activity.waits << ' ' << report.ends << ' ' << report.activity.step << ' '
       << report.seconds << ' ' << awaited << ' ' << report.activity.what;
  return text.str();
}

std::optional<RankReport> decode(const std::string& datagram, uint64_t run, int size) {
  std::istringstream text(datagram);
  std::string first, awaited;
  uint64_t of_run = 0;
  int of_size = 0;
  RankReport report;
  Activity& activity = report.activity;
  text >> first >> of_run >> of_size >> report.rank >> activity.waits >> report.ends >>
      activity.step >> report.seconds >> awaited;
  if (!text || first != kFirstWord || of_run != run || of_size != size || report.rank < 0 ||
      report.rank >= size || awaited.size() != static_cast<size_t>(size) ||
      !std::isfinite(report.seconds)) {
    return std::nullopt;
  }
  for (int rank = 0; rank < size; ++rank) {
    if (awaited[static_cast<size_t>(rank)] == '1') activity.awaited.push_back(rank);
  }
  text.get();
  std::getline(text, activity.what);
  return report;
}

}  // namespace lococo
