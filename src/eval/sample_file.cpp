#include "eval/sample_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/build_info.h"
#include "core/error.h"
#include "core/output_file.h"
#include "tasks/sample_writer.h"

namespace lococo {
namespace {

[[noreturn]] void fail(const std::string& path) {
  throw UserError("eval.samples: " + path + " cannot be written (" + std::strerror(errno) + ")");
}

}  // namespace

SampleFile::SampleFile(const std::string& path) : path_(path) {
  if (path_.empty()) return;
  stream_.open(temporary_name(path_), std::ios::binary | std::ios::trunc);
  if (!stream_) fail(path_);
}

SampleFile::~SampleFile() {
  if (!stream_.is_open()) return;
  stream_.close();
  std::error_code ignored;
  std::filesystem::remove(temporary_name(path_), ignored);
}

void SampleFile::write(const TaskSample& sample, const TaskAnswer& answer,
                       const std::vector<Score>& scores) {
  if (path_.empty()) return;
  auto json = answered_json(sample, answer, scores);
  json["git_revision"] = std::string(git_revision());
  stream_ << json_line(json) << '\n';
  if (!stream_) fail(path_);
}

void SampleFile::close() {
  if (path_.empty()) return;
  stream_.close();
  if (!stream_) fail(path_);
  std::error_code error;
  std::filesystem::rename(temporary_name(path_), path_, error);
  if (error) throw UserError("eval.samples: " + path_ + ": " + error.message());
}

}  // namespace lococo
