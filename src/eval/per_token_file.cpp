#include "eval/per_token_file.h"

#include <nlohmann/json.hpp>

#include "core/build_info.h"
#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

std::string json_line(const LengthResult& result, size_t segment) {
  const SegmentScore& score = result.segments[segment];
  const nlohmann::ordered_json json = {{"length", result.length},
                                       {"source", score.source},
                                       {"document", score.document},
                                       {"begin", score.begin},
                                       {"ids", result.ids[segment]},
                                       {"nll", result.nll[segment]},
                                       {"git_revision", std::string(git_revision())}};
  return json.dump() + "\n";
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace

void check_per_token_name(const std::string& path) {
  if (path.empty() || path.ends_with(".jsonl") || path.ends_with(".bin")) return;
  throw UserError("eval.per_token: " + path +
                  " names no format; use a name ending in .jsonl or .bin");
}

void write_per_token(const std::string& path, const std::vector<LengthResult>& results) {
  const bool is_json = path.ends_with(".jsonl");
  std::string content;
  for (const auto& result : results) {
    for (size_t i = 0; i < result.nll.size(); ++i)
      content += is_json ? json_line(result, i) : bytes_of(result.nll[i]);
  }
  write_text_file(path, content);
}

}  // namespace lococo
