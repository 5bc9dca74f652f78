#include "eval/sample_file.h"

#include <nlohmann/json.hpp>

#include "core/build_info.h"
#include "tasks/sample_writer.h"

namespace lococo {

SampleFile::SampleFile(const std::string& path) {
  if (!path.empty()) file_.emplace(path);
}

void SampleFile::write(const TaskSample& sample, const TaskAnswer& answer,
                       const std::vector<Score>& scores) {
  if (!file_) return;
  auto json = answered_json(sample, answer, scores);
  json["git_revision"] = std::string(git_revision());
  const std::string line = json_line(json) + "\n";
  file_->write(line.data(), line.size());
}

void SampleFile::close() {
  if (file_) file_->commit();
}

}  // namespace lococo
