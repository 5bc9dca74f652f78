#include "setup/taught_template.h"

#include "config/config_yaml.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
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

/// Nothing where it cannot be told, which matters to nobody who names a template.
std::optional<ChatTemplate> taught_if_readable(const Config& config, const std::string& today) {
  try {
    return taught_template(config, today);
  } catch (const UserError&) {
    return std::nullopt;
  }
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

std::optional<ChatTemplate> taught_template(const Config& config, const std::string& today,
                                            const char* advice) {
  const std::string& adapter = config.model.adapter;
  if (adapter.empty()) return std::nullopt;
  if (!is_checkpoint(adapter)) {
    const auto chat = model_template(adapter, {std::nullopt, /*required=*/false, advice}, today);
    return chat.format == ChatFormat::kNone ? std::nullopt : std::optional(chat);
  }
  Config of_adapter = config;
  of_adapter.data.records.clear();  // what this run has is another matter
  const auto of_run = config_of_records(of_adapter);
  return of_run ? std::optional(template_of_records(*of_run, today)) : std::nullopt;
}

std::optional<ChatTemplate> taught_unless_given(const Config& config, const std::string& key,
                                                const TemplateChoice& choice,
                                                const std::string& today) {
  const std::string& adapter = config.model.adapter;
  const auto taught = choice.format ? taught_if_readable(config, today)
                                    : taught_template(config, today, choice.advice);
  if (!taught) return std::nullopt;
  if (!choice.format) {
    log_info(std::string("chat template ") + name_of(taught->format) + ", which " + adapter +
             " was tuned with");
    return taught;
  }
  if (taught->format != *choice.format) {
    log_warn(key + ": " + name_of(*choice.format) + " is given, but " + adapter +
             " was tuned with " + name_of(taught->format));
  }
  return std::nullopt;
}

std::optional<ChatTemplate> template_of_evaluation(const Config& config) {
  return taught_unless_given(config, "data.template", template_choice(config.data), kFixedDay);
}

}  // namespace lococo
