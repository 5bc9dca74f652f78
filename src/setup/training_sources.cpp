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
#include "data/token_file.h"
#include "lessons/open_lessons.h"
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

/// As open_sources() does, but for what has yet to be tokenised.
void look_at_source(const DataSource& source, const DataConfig& data, const Tokenizer* tokenizer,
                    int64_t vocab_size) {
  const SourcePlan plan = plan_source(source, data, tokenizer);
  open_documents(plan.files);
  if (plan.ready) TokenFile(plan.token_file, data.raw_dtype).check_token_range(vocab_size);
}

struct Reader {
  const DataConfig& data;
  const Tokenizer* tokenizer;
  int64_t vocab_size;

  void look_at_texts(const std::vector<DataSource>& sources, Faults* faults) const {
    for (const DataSource& source : sources)
      faults->look([&] { look_at_source(source, data, tokenizer, vocab_size); });
  }
};

void look_at_records(const std::string& key, const std::vector<DataSource>& sources,
                     Faults* faults) {
  for (const DataSource& source : sources) {
    const auto read = [&] { for_each_json_record(source.path, record_messages); };
    faults->look([&] { naming_key(key, read); });
  }
}

}  // namespace

bool evaluates_records(const Config& config) {
  return !config.data.validation_records.empty() &&
         (config.eval.every > 0 || config.eval.after_training);
}

void check_validation_paths(const Config& config) {
  if (config.eval.every == 0 && !config.eval.after_training) return;
  for (const DataSource& source : config.data.validation) {
    if (!path_exists(source.path))
      throw UserError("data.validation: " + source.path + ": no such file or folder");
  }
}

void check_training_sources(const Config& config) {
  const DataConfig& data = config.data;
  const int64_t vocab_size = effective_shape(config).vocab_size;
  const auto tokenizer = open_tokenizer(config, vocab_size);
  const Reader reader = {data, tokenizer.get(), vocab_size};
  Faults faults;
  if (!data.records.empty()) {
    faults.look(
        [&] { open_record_sets(config, "data.records", {}, tokenizer.get()); });  // the template
    look_at_records("data.records", data.records, &faults);
  } else {
    reader.look_at_texts(data.train, &faults);
  }
  if (data.records.empty() && data.lesson_share > 0.0) {
    faults.look([&] { check_lessons(config, tokenizer.get()); });
    for (const std::string& path : data.lesson_texts)
      faults.look([&] { open_documents(list_document_files(path)); });
  }
  if (config.eval.every > 0) reader.look_at_texts(data.validation, &faults);
  if (config.eval.every == 0) faults.look([&] { check_validation_paths(config); });
  if (evaluates_records(config))
    look_at_records("data.validation_records", data.validation_records, &faults);
  if (const std::string text = faults.text(); !text.empty()) throw UserError(text);
  if (config.eval.every > 0 || !config.eval.after_training) return;
  Faults after;  // which the run only warns of
  reader.look_at_texts(data.validation, &after);
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
