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
  /// An empty path: nothing is written. Until close() the lines stand in a file beside it. Throws
  /// UserError when that cannot be opened.
  explicit SampleFile(const std::string& path);
  /// Removes what has not been closed.
  ~SampleFile();
  SampleFile(const SampleFile&) = delete;
  SampleFile& operator=(const SampleFile&) = delete;

  /// answered_json (tasks/sample_writer.h) and the revision of this program.
  void write(const TaskSample& sample, const TaskAnswer& answer, const std::vector<Score>& scores);

  /// Gives the file its name. Throws UserError when something of it has not reached the disk.
  void close();

 private:
  std::string path_;
  std::ofstream stream_;
};

}  // namespace lococo
