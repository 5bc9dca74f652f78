#include "setup/companion_files.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "chat/model_template.h"
#include "chat/template_text.h"
#include "core/error.h"
#include "core/files.h"
#include "records/open_records.h"
#include "setup/generation_config.h"
#include "setup/taught_template.h"
#include "tokenizer/tokenizer.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestFile = 100'000'000;
constexpr const char* kGenerationConfig = "generation_config.json";
constexpr const char* kTemplate = "chat_template.jinja";

/// A tokenizer and what says how it is used. vocab.json and merges.txt are the older form of
/// tokenizer.json.
constexpr const char* kTokenizerFiles[] = {"tokenizer.model",
                                           "tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           kTemplate};

/// Downloads are links into a cache, whose files may have been deleted.
bool has_file(const std::string& path) {
  if (path_exists(path)) return true;
  std::error_code error;
  if (!fs::is_symlink(fs::symlink_status(path, error))) return false;
  throw UserError(path + ": is a link to nothing; download the file again or remove the link");
}

bool holds_the_same(const std::string& path, const std::string& content) {
  return path_exists(path) && read_text_file(path, kLargestFile) == content;
}

class Companions {
 public:
  void add(const std::string& folder, const std::string& name) {
    const bool taken =
        std::ranges::any_of(files_, [&](const CompanionFile& file) { return file.name == name; });
    const std::string path = folder + "/" + name;
    if (!taken && has_file(path)) files_.push_back({name, read_text_file(path, kLargestFile)});
  }

  /// Takes data.tokenizer unless it is that of `folder`; returns the folder of what belongs to it,
  /// "" for none.
  std::string add_tokenizer(const std::string& given, const std::string& folder) {
    const std::string name = usual_tokenizer_name(given);
    std::string content = read_text_file(given, kLargestFile);
    if (!folder.empty() && holds_the_same(folder + "/" + name, content)) return folder;
    files_.push_back({name, std::move(content)});
    // Files beside another name may be those of a tokenizer that has the usual one.
    if (fs::path(given).filename() != name) return "";
    return parent_folder(given);
  }

  std::vector<CompanionFile> take() { return std::move(files_); }

 private:
  std::vector<CompanionFile> files_;
};

void put(const std::string& name, const std::string& content, std::vector<CompanionFile>* files) {
  const auto present = std::ranges::find(*files, name, &CompanionFile::name);
  if (present != files->end()) {
    present->content = content;
  } else {
    files->push_back({name, content});
  }
}

/// Conversations have the form that was tuned on: that of the records, where the tokenizer's own
/// (whose files come from `folder`) is another, or what a PEFT folder brings.
void add_template(const Config& config, const std::string& folder,
                  std::vector<CompanionFile>* files) {
  if (const auto of_run = config_of_records(config)) {
    const auto taught = template_of_records(*of_run, "");
    const auto own = folder.empty() ? std::nullopt : known_template(folder, "");
    const bool is_own =
        own && own->format == taught.format &&
        (taught.format != ChatFormat::kPlain || own->begins_with_bos == taught.begins_with_bos);
    if (!is_own) put(kTemplate, template_text(taught.format, taught.begins_with_bos), files);
    return;
  }
  const std::string& adapter = config.model.adapter;
  const std::string path = adapter + "/" + kTemplate;
  if (!adapter.empty() && has_file(path)) put(kTemplate, read_text_file(path, kLargestFile), files);
}

/// What was tuned on records stops where their answers end.
void add_end_tokens(const Config& config, int64_t vocab_size, std::vector<CompanionFile>* files) {
  const auto present = std::ranges::find(*files, kGenerationConfig, &CompanionFile::name);
  const bool is_there = present != files->end();
  const auto text =
      generation_config_of_records(config, is_there ? present->content : "", vocab_size);
  if (text) put(kGenerationConfig, *text, files);
}

}  // namespace

std::vector<CompanionFile> read_companion_files(const Config& config, int64_t vocab_size) {
  const bool merged = config.export_.kind == ExportKind::kMerged;
  if (!merged && config.export_.kind != ExportKind::kAdapter) return {};
  Companions companions;
  const std::string& base = config.model.path;
  std::string folder = base;
  if (!config.data.tokenizer.empty()) {
    check_vocabulary(*load_tokenizer(config.data.tokenizer), vocab_size);
    folder = companions.add_tokenizer(config.data.tokenizer, base);
  }
  for (const char* const name : kTokenizerFiles) {
    if (!folder.empty()) companions.add(folder, name);
  }
  if (merged && !base.empty()) companions.add(base, kGenerationConfig);
  auto files = companions.take();
  add_template(config, folder, &files);
  if (merged) add_end_tokens(config, vocab_size, &files);
  return files;
}

}  // namespace lococo
