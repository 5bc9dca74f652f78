#include "setup/training_sources.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "data/documents.h"
#include "data/prepare.h"
#include "records/json_records.h"
#include "records/open_records.h"
#include "records/record_messages.h"
#include "setup/model_positions.h"
#include "setup/session.h"

namespace lococo {
namespace {

/// What is wrong with several files, each of which stands for itself.
class Faults {
 public:
  void look(const std::function<void()>& open) {
    try {
      open();
    } catch (const UserError& error) {
      lines_.emplace_back(error.what());
    }
  }

  /// In one line; empty where nothing is wrong.
  std::string text() const {
    std::string text;
    for (const std::string& line : lines_) text += (text.empty() ? "" : "; ") + line;
    return lines_.size() < 2 ? text
                             : std::to_string(lines_.size()) + " sources cannot be used: " + text;
  }

 private:
  std::vector<std::string> lines_;
};

void open_documents(const std::vector<DocumentFile>& files) {
  for (const DocumentFile& file : files) InputFile(file.path);
}

void look_at_texts(const std::vector<DataSource>& sources, const DataConfig& data,
                   const Tokenizer* tokenizer, Faults* faults) {
  for (const DataSource& source : sources) {
    faults->look([&] { open_documents(plan_source(source, data, tokenizer).files); });
  }
}

void look_at_records(const std::vector<DataSource>& sources, Faults* faults) {
  for (const DataSource& source : sources) {
    faults->look([&] { for_each_json_record(source.path, record_messages); });
  }
}

}  // namespace

void check_training_sources(const Config& config) {
  const DataConfig& data = config.data;
  const auto tokenizer = open_tokenizer(config, effective_shape(config).vocab_size);
  Faults faults;
  if (!data.records.empty()) {
    faults.look([&] { open_record_sets(config, {}, tokenizer.get()); });  // the template
    look_at_records(data.records, &faults);
  } else {
    look_at_texts(data.train, data, tokenizer.get(), &faults);
  }
  if (data.records.empty() && data.lesson_share > 0.0) {
    for (const std::string& path : data.lesson_texts)
      faults.look([&] { open_documents(list_document_files(path)); });
  }
  if (config.eval.every > 0) {
    look_at_texts(data.validation, data, tokenizer.get(), &faults);
    look_at_records(data.validation_records, &faults);
  }
  if (const std::string text = faults.text(); !text.empty()) throw UserError(text);
  if (config.eval.every > 0 || !config.eval.after_training) return;
  Faults after;  // which the run only warns of
  look_at_texts(data.validation, data, tokenizer.get(), &after);
  if (const std::string text = after.text(); !text.empty())
    log_warn("there will be no evaluation after training: " + text);
}

void warn_about_untrained_answers(const Config& config) {
  if (config.data.records.empty() || !is_blockwise(config) || config.cache.boundary_targets) return;
  log_warn("data.records: the target of the last query of each " +
           std::to_string(config.cache.block) +
           " tokens is not trained, which may belong to an answer; set "
           "cache.boundary_targets=true");
}

}  // namespace lococo
