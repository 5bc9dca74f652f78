// lococo-prepare: tokenises the training and validation sources of a config, once and for all.
#include "data/prepare.h"

#include <cstdio>
#include <memory>
#include <optional>

#include "config/config_write.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hf_config.h"
#include "core/launcher.h"
#include "core/log.h"
#include "report/task_progress.h"
#include "tools/cli.h"

namespace lococo {
namespace {

std::string describe(const DataSource& source, const SourcePlan& plan) {
  if (plan.files.empty()) return source.path + ": holds tokens, nothing to do";
  uint64_t bytes = 0;
  for (const DocumentFile& file : plan.files) bytes += file.size;
  return source.path + ": " + std::to_string(plan.files.size()) + " files, " +
         std::to_string(bytes) + " bytes -> " + plan.token_file +
         (plan.ready ? " (up to date)" : " (to be made)");
}

std::string prepare_with_progress(const DataSource& source, const Config& config,
                                  const Tokenizer* tokenizer) {
  std::unique_ptr<TaskProgress> progress;  // made when the size of the work is known
  return prepare_source(source, config.data, tokenizer, [&](uint64_t done, uint64_t total) {
    if (!progress) {
      progress = std::make_unique<TaskProgress>("tokenising " + source.path, "bytes",
                                                static_cast<int64_t>(total));
    }
    progress->update(static_cast<int64_t>(done));
    if (done == total) progress->end_line();
  });
}

/// Of the model that the tokens are for, where the config names one that is there.
std::optional<int64_t> model_vocab_size(const ModelConfig& model) {
  if (model.path.empty() && model.init.vocab_size > 0) return model.init.vocab_size;
  if (!path_exists(model.path + "/config.json")) return std::nullopt;
  return read_hf_config(model.path).vocab_size;
}

int run(const CommandLine& line, const Config& config) {
  check_launched_alone("lococo-prepare runs");
  std::vector<DataSource> sources = config.data.train;
  sources.insert(sources.end(), config.data.validation.begin(), config.data.validation.end());
  if (sources.empty()) {
    throw UserError("data.train, data.validation: name the text or token files to prepare");
  }
  const auto tokenizer = open_tokenizer(config.data, config.model.path);
  if (const auto size = model_vocab_size(config.model); tokenizer && size)
    check_vocabulary(*tokenizer, *size);
  if (line.dry_run) {
    std::fputs(config_to_yaml(config).c_str(), stdout);
    for (const DataSource& source : sources) {
      const SourcePlan plan = look_at_source(source, config.data, tokenizer.get());
      std::printf("%s\n", describe(source, plan).c_str());
    }
    return 0;
  }
  for (const DataSource& source : sources) {
    const std::string path = prepare_with_progress(source, config, tokenizer.get());
    TokenFile(path, config.data.raw_dtype).verify_checksum();
    std::printf("%s\n", path.c_str());
  }
  return 0;
}

/// Where an adapter may bring cache options (setup/complete_config.h), which need torch to be read,
/// the other tools check them: tokens do not depend on them.
void leave_to_adapter(Config* config, ConfigOrigins*) {
  if (config->model.adapter.empty()) return;
  config->cache = CacheConfig();
  config->tune = TuneConfig();
}

}  // namespace
}  // namespace lococo

int main(int argc, char** argv) {
  return lococo::run_tool(
      {"lococo-prepare", "Turns the texts of data.train and data.validation into token files.",
       "  lococo-prepare data.tokenizer=tokenizer.json data.train=[books,more.jsonl.zst]\n"
       "  lococo-prepare config.yaml data.cache_dir=tokens --dry-run\n",
       lococo::run, lococo::leave_to_adapter},
      argc, argv);
}
