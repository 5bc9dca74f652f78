#include "setup/training_sources.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "data/documents.h"
#include "data/prepare.h"
#include "lessons/open_lessons.h"
#include "records/json_records.h"
#include "records/open_records.h"
#include "records/record_messages.h"
#include "setup/model_positions.h"
#include "setup/session.h"
#include "setup/taught_template.h"

namespace lococo {
namespace {

/// What is wrong with several files, each of which stands for itself.
class Faults {
 public:
  /// False where something is wrong.
  bool look(const std::function<void()>& open) {
    try {
      open();
      return true;
    } catch (const UserError& error) {
      // Texts of the lessons may be those of the training.
      if (std::ranges::find(lines_, error.what()) == lines_.end())
        lines_.emplace_back(error.what());
      return false;
    }
  }

  /// In one line; empty where nothing is wrong.
  std::string text() const {
    std::string text;
    for (const std::string& line : lines_) text += (text.empty() ? "" : "; ") + line;
    return lines_.size() < 2 ? text
                             : std::to_string(lines_.size()) + " sources cannot be used: " + text;
  }

  void throw_if_any() const {
    if (const std::string line = text(); !line.empty()) throw UserError(line);
  }

 private:
  std::vector<std::string> lines_;
};

/// What is done with a source's tokens, where they are there already.
using Open = std::function<void(const std::vector<DataSource>&)>;

struct Reader {
  const DataConfig& data;
  const Tokenizer* tokenizer;
  int64_t vocab_size;

  void look_at_texts(const std::vector<DataSource>& sources, Faults* faults) const {
    look_at(sources, faults,
            [this](const auto& one) { open_sources(one, data, tokenizer, vocab_size); });
  }

  /// Whether there are enough of them, too.
  void look_at_trained(const std::vector<DataSource>& sources, Faults* faults) const {
    look_at(sources, faults,
            [this](const auto& one) { open_dataset(one, data, tokenizer, vocab_size); });
  }

  void look_at_lessons(const Config& config, Faults* faults) const {
    if (!faults->look([&] { check_lessons(config, tokenizer); })) return;
    for (const std::string& path : lesson_paths(data))
      faults->look([&] { look_at_documents(path, data.text_field); });
  }

 private:
  void look_at(const std::vector<DataSource>& sources, Faults* faults, const Open& open) const {
    for (const DataSource& source : sources) {
      faults->look([&] {
        if (look_at_source(source, data, tokenizer).ready) open({source});
      });
    }
  }
};

/// With the template in which they are asked.
void look_at_records(const Config& config, const std::string& key,
                     const std::vector<DataSource>& sources, const Tokenizer* tokenizer,
                     const std::optional<ChatTemplate>& chat, Faults* faults) {
  faults->look([&] { open_record_sets(config, key, {}, tokenizer, chat); });
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

void check_validation_given(const DataConfig& data) {
  if (data.validation.empty())
    throw UserError("data.validation: give the text or token files to evaluate on");
}

void check_training_sources(const Config& config) {
  const DataConfig& data = config.data;
  const int64_t vocab_size = effective_shape(config).vocab_size;
  const auto tokenizer = open_tokenizer(config, vocab_size);
  const Reader reader = {data, tokenizer.get(), vocab_size};
  Faults faults;
  if (!data.records.empty()) {
    look_at_records(config, "data.records", data.records, tokenizer.get(), /*chat=*/{}, &faults);
  } else {
    if (data.lesson_share > 0.0) reader.look_at_lessons(config, &faults);
    reader.look_at_trained(data.train, &faults);
  }
  if (config.eval.every > 0) reader.look_at_texts(data.validation, &faults);
  if (config.eval.every == 0) faults.look([&] { check_validation_paths(config); });
  if (evaluates_records(config)) {
    look_at_records(config, "data.validation_records", data.validation_records, tokenizer.get(),
                    /*chat=*/{}, &faults);
  }
  faults.throw_if_any();
  if (config.eval.every > 0 || !config.eval.after_training) return;
  Faults after;  // which the run only warns of
  reader.look_at_texts(data.validation, &after);
  if (const std::string text = after.text(); !text.empty())
    log_warn("there will be no evaluation after training: " + text);
}

void check_evaluation_sources(const Config& config) {
  const DataConfig& data = config.data;
  const int64_t vocab_size = effective_shape(config).vocab_size;
  const auto tokenizer = open_tokenizer(config, vocab_size);
  Faults faults;
  if (!data.validation_records.empty()) {
    faults.look([&] {
      const auto chat = template_of_evaluation(config);
      look_at_records(config, "data.validation_records", data.validation_records, tokenizer.get(),
                      chat, &faults);
    });
  } else {
    check_validation_given(data);
    const Reader reader = {data, tokenizer.get(), vocab_size};
    reader.look_at_texts(data.validation, &faults);
  }
  faults.throw_if_any();
}

void warn_about_untrained_answers(const Config& config) {
  if (config.data.records.empty() || !is_blockwise(config) || config.cache.boundary_targets) return;
  log_warn("data.records: the target of the last query of each " +
           std::to_string(config.cache.block) +
           " tokens is not trained, which may belong to an answer; set "
           "cache.boundary_targets=true");
}

}  // namespace lococo
