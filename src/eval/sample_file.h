// Every question of a task with its answer, a line each, as they come.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/files.h"
#include "tasks/scoring.h"

namespace lococo {

class SampleFile {
 public:
  /// An empty path: nothing is written. Until close() the lines stand in a file beside it, which
  /// goes if there is no close(). Throws UserError, as AtomicFile does, here and below.
  explicit SampleFile(const std::string& path);

  /// answered_json (tasks/sample_writer.h) and the revision of this program.
  void write(const TaskSample& sample, const TaskAnswer& answer, const std::vector<Score>& scores);

  /// Gives the file its name once all of it has reached the disk. The last call.
  void close();

 private:
  std::optional<AtomicFile> file_;
};

}  // namespace lococo
