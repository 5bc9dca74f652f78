#include "setup/taught_template.h"

#include "chat/model_template.h"
#include "config/config_yaml.h"
#include "core/error.h"
#include "core/files.h"
#include "records/open_records.h"
#include "weights/checkpoint_files.h"

namespace lococo {
namespace {

/// A run on a model without a folder has the template beside its tokenizer, and named that from
/// where it was started: a file that is not here must not pass for one without a template.
void check_template_is_here(const Config& of_run, const std::string& adapter) {
  const std::string& tokenizer = of_run.data.tokenizer;
  const bool lies_beside_tokenizer = of_run.data.record_template == RecordTemplate::kAuto &&
                                     of_run.model.path.empty() && !tokenizer.empty();
  if (!lies_beside_tokenizer || path_exists(tokenizer)) return;
  throw UserError(adapter + ": was tuned in the chat template beside " + tokenizer +
                  ", and no such file is here; give data.tokenizer, the file of that tokenizer");
}

}  // namespace

std::optional<Config> config_of_records(const Config& config) {
  if (!config.data.records.empty()) return config;
  const std::string& adapter = config.model.adapter;
  if (adapter.empty() || !is_checkpoint(adapter)) return std::nullopt;
  Config of_run = config;
  const std::string path = adapter + "/" + kConfigFile;
  of_run.data = parse_old_config(read_state(adapter).state.config_yaml, path).data;
  if (of_run.data.records.empty()) return std::nullopt;
  // A tokenizer that is named here is that of the folder to come.
  if (!config.data.tokenizer.empty()) of_run.data.tokenizer = config.data.tokenizer;
  check_template_is_here(of_run, adapter);
  return of_run;
}

std::optional<ChatTemplate> taught_template(const Config& config, const std::string& today) {
  const std::string& adapter = config.model.adapter;
  if (adapter.empty()) return std::nullopt;
  if (!is_checkpoint(adapter)) {
    const auto chat = model_template(adapter, {std::nullopt, /*required=*/false}, today);
    return chat.format == ChatFormat::kNone ? std::nullopt : std::optional(chat);
  }
  Config of_adapter = config;
  of_adapter.data.records.clear();  // what this run has is another matter
  const auto of_run = config_of_records(of_adapter);
  return of_run ? std::optional(template_of_records(*of_run, today)) : std::nullopt;
}

}  // namespace lococo
