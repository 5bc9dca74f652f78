#include "eval/sample_file.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tasks/sample_writer.h"

namespace lococo {
namespace {

[[noreturn]] void fail(const std::string& path) {
  throw UserError("eval.samples: " + path + " cannot be written (" + std::strerror(errno) + ")");
}

}  // namespace

SampleFile::SampleFile(const std::string& path) : path_(path) {
  if (path_.empty()) return;
  stream_.open(path_, std::ios::binary | std::ios::trunc);
  if (!stream_) fail(path_);
}

void SampleFile::write(const TaskSample& sample, const TaskAnswer& answer,
                       const std::vector<Score>& scores) {
  if (path_.empty()) return;
  stream_ << json_line(answered_json(sample, answer, scores)) << '\n';
  if (!stream_) fail(path_);
}

void SampleFile::close() {
  if (path_.empty()) return;
  stream_.close();
  if (!stream_) fail(path_);
}

}  // namespace lococo
