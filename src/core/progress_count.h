// Signs that a process comes on with its work, for those who wait for it.
#pragma once

#include <atomic>
#include <cstdint>

namespace lococo {

inline std::atomic<uint64_t> progress_count{0};

/// For loops that may take longer than others want to wait for a hung process: once a turn.
inline void note_progress() { progress_count.fetch_add(1, std::memory_order_relaxed); }

}  // namespace lococo
