// What a benchmark found: a table for people, JSON for programs. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace lococo {

/// Order statistics of repeated measurements.
struct Spread {
  double median = 0.0;
  double least = 0.0;
  double most = 0.0;
  double lower_quartile = 0.0;
  double upper_quartile = 0.0;
  int64_t samples = 1;
};

/// The same in another unit; a factor below zero is our bug.
Spread scaled(const Spread& spread, double factor);

struct Figure {
  std::string name;  ///< "block"
  std::string unit;  ///< "ms"
  Spread spread;
};

/// One measurement: for example batch 4.
struct BenchCase {
  std::vector<std::pair<std::string, int64_t>> parameters;
  std::vector<Figure> figures;
  std::string failure;  ///< why there are no more figures; empty: it went well

  /// A single value. Names are keys in the JSON: each occurs once.
  void add(const std::string& name, const std::string& unit, double value);
  void add(const std::string& name, const std::string& unit, const Spread& spread);
};

/// Where it ran.
struct DeviceInfo {
  std::string name;   ///< "NVIDIA H200", "cpu"
  std::string torch;  ///< version
  std::string cuda;   ///< version, empty without
  std::string cudnn;  ///< version, empty without
  int64_t threads = 1;
};

/// A kernel of a trace and its calls.
struct KernelTime {
  std::string name;
  int64_t calls = 0;
  double seconds = 0.0;  ///< of all calls
};

/// Kernels of one traced iteration, the longest total first.
struct TraceSummary {
  std::string what;     ///< "4 blocks of 512 tokens, batch 1"
  std::string path;     ///< of the Chrome trace
  bool on_gpu = false;  ///< else operators of the CPU, the time of those they call counted too
  double wall_seconds = 0.0;
  double busy_seconds = 0.0;  ///< sum over all kernels
  std::vector<KernelTime> kernels;
};

/// Prints every case when it is added and rewrites the JSON file (bench.output) each time, so that
/// a run that stops early leaves what it has measured.
class Report {
 public:
  Report(std::string benchmark, const Config& config, DeviceInfo device);

  void add(const BenchCase& measured);
  void add(const TraceSummary& trace);

  std::string json() const;

 private:
  void write() const;

  std::string benchmark_;
  Config config_;
  DeviceInfo device_;
  std::vector<BenchCase> cases_;
  std::vector<TraceSummary> traces_;
};

/// The table that is printed for one case, and for a trace (its 30 longest kernels).
std::string case_text(const BenchCase& measured);
std::string trace_text(const TraceSummary& trace);

}  // namespace lococo
