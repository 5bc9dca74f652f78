// Every question of a task with its answer, a line each, as they come.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "tasks/scoring.h"

namespace lococo {

class SampleFile {
 public:
  /// An empty path: nothing is written. Throws UserError when it cannot be opened.
  explicit SampleFile(const std::string& path);

  /// tasks/sample_writer.h: answered_json.
  void write(const TaskSample& sample, const TaskAnswer& answer, const std::vector<Score>& scores);

  /// Throws UserError when something of it has not reached the file.
  void close();

 private:
  std::string path_;
  std::ofstream stream_;
};

}  // namespace lococo
