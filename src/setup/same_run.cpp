#include "setup/same_run.h"

#include <algorithm>
#include <sstream>

#include "config/config_write.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "setup/session.h"
#include "weights/checkpoint_files.h"

namespace lococo {
namespace {

constexpr const char* kRemedy = "; every rank needs the same command, files and options";

/// A line of YAML: "  seed: 1" is {2, "seed", "1"}.
struct Line {
  size_t indent = 0;
  std::string key, value;
};

Line parse(const std::string& text) {
  const size_t begin = std::min(text.find_first_not_of(' '), text.size());
  const size_t colon = std::min(text.find(':', begin), text.size());
  const size_t value = std::min(text.find_first_not_of(": ", colon), text.size());
  return {begin, text.substr(begin, colon - begin), text.substr(value)};
}

std::string text_of(Config config) {
  config.data.cache_dir.clear();
  return config_to_yaml(config);
}

void check_same_adapter(const Config& config, Communicator& communicator) {
  const std::string& adapter = config.model.adapter;
  if (communicator.broadcast_text(adapter, /*root=*/0) == adapter) return;
  throw UserError("model.adapter: " + adapter +
                  " is the newest checkpoint for one rank and not for another: its run is still "
                  "saving; name a step folder");
}

}  // namespace

std::string first_difference(const std::string& here, const std::string& there) {
  if (here == there) return "";
  std::istringstream own(here), other(there);
  std::vector<Line> sections;  // that the line lies in
  std::string own_text, other_text;
  do {
    own_text.clear();
    other_text.clear();
    const bool ended = !std::getline(own, own_text), other_ended = !std::getline(other, other_text);
    if (ended && other_ended) return "";
    const Line line = parse(own_text.empty() ? other_text : own_text);
    while (!sections.empty() && sections.back().indent >= line.indent) sections.pop_back();
    sections.push_back(line);
  } while (own_text == other_text);
  std::string key;
  for (const Line& section : sections) key += (key.empty() ? "" : ".") + section.key;
  return key + ": " + parse(own_text).value + " instead of " + parse(other_text).value;
}

void check_same_config(const Config& config, Communicator& communicator) {
  check_same_adapter(config, communicator);
  const std::string own = text_of(config), main_ones = communicator.broadcast_text(own, /*root=*/0);
  if (const std::string difference = first_difference(own, main_ones); !difference.empty())
    throw UserError("this rank was not started like rank 0: " + difference + kRemedy);
}

void check_same_files(const std::string& base_fingerprint, const std::string& key,
                      const std::vector<uint64_t>& fingerprints, Communicator& communicator) {
  std::string files;
  for (const uint64_t fingerprint : fingerprints) files += hex_text(fingerprint);
  const std::string main_base = communicator.broadcast_text(base_fingerprint, /*root=*/0);
  const std::string main_files = communicator.broadcast_text(files, /*root=*/0);
  if (main_base != base_fingerprint)
    throw UserError(std::string("model.path: this rank has other weights than rank 0") + kRemedy);
  if (main_files != files)
    throw UserError(key + ": this rank has other texts than rank 0" + kRemedy);
}

void check_same_checkpoint(const std::string& folder, Communicator& communicator) {
  const std::string path = folder + "/" + kStateFile;  // lists the checksum of every other file
  const bool is_here = path_exists(path);
  const std::string own = is_here ? read_text_file(path) : "";
  const bool is_same = communicator.broadcast_text(own, /*root=*/0) == own;
  const int64_t without = communicator.all_reduce_max_int(is_here ? -1 : communicator.rank());
  const int64_t other = communicator.all_reduce_max_int(is_same ? -1 : communicator.rank());
  if (other < 0) return;
  run_alike(communicator, [&] {
    throw UserError(folder + ": rank 0 goes on from this checkpoint, rank " +
                    (without < 0 ? std::to_string(other) + " sees another there"
                                 : std::to_string(without) + " sees none there") +
                    "; put the folder on a disk that all hosts share, or copy it to each");
  });
}

}  // namespace lococo
