#include "dist/rank_watch.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>

#include "core/elapsed.h"
#include "core/log.h"

namespace lococo {
namespace {

constexpr double kLongestInterval = 1.0;
constexpr double kIntervalsInTimeout = 10.0;
constexpr double kLongestNap = 0.05;  // after which the end of the run is noticed
// How long a rank leaves it to another one to say why all end.
constexpr double kPatience = 5.0;
// After which a rank that was never heard is told of.
constexpr double kLongestUnheard = 60.0;
constexpr int kExitCode = 1;

void join_texts(const std::vector<std::string>& texts, const std::string& separator,
                std::string* all) {
  for (const std::string& text : texts) *all += (all->empty() ? "" : separator) + text;
}

/// Signals are for the main thread, whose calls they may interrupt.
void leave_signals_to_others() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// The main thread and the GPU may hang, with whatever they hold: nothing here waits for them.
[[noreturn]] void leave() { std::_Exit(kExitCode); }

/// What every rank says to all, by rank.
std::vector<std::string> gather_texts(Communicator& world, const std::string& own) {
  std::vector<std::string> texts;
  for (int rank = 0; rank < world.size(); ++rank)
    texts.push_back(world.broadcast_text(rank == world.rank() ? own : "", rank));
  return texts;
}

}  // namespace

RankWatch::RankWatch(Communicator& world, int64_t timeout_s, std::shared_ptr<StreamMarks> marks)
    : rank_(world.rank()),
      size_(world.size()),
      timeout_s_(static_cast<double>(timeout_s)),
      interval_s_(std::min(kLongestInterval, timeout_s_ / kIntervalsInTimeout)),
      marks_(std::move(marks)),
      socket_(world.local_size() == world.size()),
      ranks_(static_cast<size_t>(world.size())) {
  std::random_device random;
  run_ = std::stoull(world.broadcast_text(std::to_string(random()), /*root=*/0));
  auto addresses = gather_texts(world, socket_.address());
  addresses.erase(addresses.begin() + rank_);
  std::string unknown;
  join_texts(socket_.set_peers(addresses), ", ", &unknown);
  if (!unknown.empty()) {
    log_warn("distributed.timeout_s: this host cannot look up " + unknown +
             ", whose ranks will not hear of rank 0 and end when they have waited for it so long");
  }
  thread_ = std::thread([this] { run(); });
}

RankWatch::~RankWatch() {
  over_ = true;
  thread_.join();
}

void RankWatch::run() {
  leave_signals_to_others();
  auto last = steady_now();
  tick(0);  // a rank that hangs within the first interval has been heard, too
  while (!over_) {
    const double passed = seconds_since(last);
    if (passed < interval_s_) {
      hear(socket_.receive(std::min(kLongestNap, interval_s_ - passed)));
      continue;
    }
    last = steady_now();
    // More has passed only where this process did not run, and then it could hear nobody either.
    tick(std::min(passed, 2 * interval_s_));
  }
}

void RankWatch::hear(const std::vector<std::string>& datagrams) {
  for (const std::string& datagram : datagrams) {
    const auto report = decode(datagram, run_, size_);
    if (!report || report->rank == rank_) continue;
    ranks_[static_cast<size_t>(report->rank)] = {*report, /*heard=*/true, /*silent_s=*/0};
    if (report->ends) leave();
  }
}

void RankWatch::tick(double seconds) {
  const StreamPlace place = marks_ ? marks_->read() : StreamPlace();
  KnownRank& own = ranks_[static_cast<size_t>(rank_)];
  const uint64_t count = activity_count(place);
  Activity now = current_activity(place);
  const bool comes_on = count != last_count_ || !(now == own.last.activity);
  const double at_it = comes_on ? 0 : own.last.seconds + seconds;
  own = {{rank_, std::move(now), at_it}, /*heard=*/true, /*silent_s=*/0};
  last_count_ = count;
  for (size_t other = 0; other < ranks_.size(); ++other) {
    if (static_cast<int>(other) != rank_) ranks_[other].silent_s += seconds;
  }
  socket_.send_to_all(encode(own.last, run_, size_));
  tell_who_was_never_heard(seconds);

  const auto stall = describe_stall(rank_, ranks_, timeout_s_);
  in_vain_s_ = stall ? in_vain_s_ + seconds : 0;
  if (!stall) return;
  const int spokesman = spokesman_of(ranks_, timeout_s_ - 2 * interval_s_, 3 * interval_s_);
  if (spokesman == rank_ || in_vain_s_ >= kPatience) end_all(*stall);
}

// Such a rank is missing for as long as nothing is heard, however well it works.
void RankWatch::tell_who_was_never_heard(double seconds) {
  watched_s_ += seconds;
  if (told_ || watched_s_ < std::min(kLongestUnheard, timeout_s_ / 2)) return;
  told_ = true;
  std::vector<std::string> unheard;
  for (size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (!ranks_[rank].heard) unheard.push_back(std::to_string(rank));
  }
  if (unheard.empty()) return;
  std::string list;
  join_texts(unheard, ", ", &list);
  log_error("rank " + std::to_string(rank_) + " hears nothing of ranks " + list +
            ": who waits for them for distributed.timeout_s ends the run, even where they work; "
            "let hosts look each other up and pass UDP, or set it to 0");
}

void RankWatch::end_all(const std::string& stall) {
  RankReport& own = ranks_[static_cast<size_t>(rank_)].last;
  const std::string step =
      own.activity.step < 0 ? "" : "step " + std::to_string(own.activity.step) + ": ";
  log_error("rank " + std::to_string(rank_) + ": " + step + stall +
            "; all ranks end after distributed.timeout_s, " +
            std::to_string(static_cast<int64_t>(timeout_s_)) +
            ". Look at that rank's host and disk");
  own.ends = true;
  socket_.send_to_all(encode(own, run_, size_));
  leave();
}

}  // namespace lococo
