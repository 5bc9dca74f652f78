#include "weights/export.h"

#include <stdexcept>

#include "core/error.h"
#include "core/files.h"
#include "core/hf_config_write.h"
#include "core/log.h"
#include "tensor/kit/torch.h"
#include "weights/atomic_folder.h"
#include "weights/cache_options.h"
#include "weights/checkpoint_files.h"
#include "weights/conv_weights.h"
#include "weights/hf_config_merge.h"
#include "weights/hf_weights.h"
#include "weights/hf_weights_save.h"
#include "weights/lora_adapter.h"
#include "weights/lora_adapter_config.h"

namespace lococo {
namespace {

void write_companions(const ExportSource& source, const std::string& dir) {
  bool has_tokenizer = false;
  for (const CompanionFile& file : source.companions) {
    write_text_file(dir + "/" + file.name, file.content);
    has_tokenizer = has_tokenizer || file.name.starts_with("tokenizer.");
  }
  if (has_tokenizer || source.base_path.empty()) return;
  log_warn(source.base_path +
           ": holds no tokenizer; data.tokenizer names one, or copy it into the exported folder");
}

void warn_about_lora(Llama& model, const std::string& output) {
  if (!has_lora(model)) return;
  log_warn(output +
           ": the LoRA that was tuned with it is not in it; export.kind: adapter writes that, "
           "and a checkpoint folder holds both");
}

/// Says what a model of plain full attention loses.
void warn_about_losses(const CacheConfig& cache, const std::string& output) {
  if (!cache.compresses()) return;
  if (cache.learns()) {
    log_warn(output + ": its " + learned_parts(cache) +
             " are not in it, no other program knows them; export.kind: conv writes them");
  }
  if (cache.keys == KeyKind::kUnrotated && cache.positions == PositionKind::kSlot) {
    log_warn(output +
             ": other programs run it with full attention and the positions of the text, but "
             "it was tuned with cache.keys unrotated, whose positions never exceed " +
             std::to_string(cache.slots + cache.block) +
             "; beyond the base's own context it needs this project's cache");
  } else {
    log_warn(output + ": other programs run it with full attention, not with the cache of " +
             std::to_string(cache.slots) + " slots that it was tuned with");
  }
}

int64_t bytes_of_merged(Llama& model, DType dtype, const ExportSource& source) {
  const int64_t element = dtype == DType::kBFloat16 ? 2 : 4;
  int64_t bytes = 1 << 20;  // config.json and the headers
  for (const auto& file : source.companions) bytes += static_cast<int64_t>(file.content.size());
  for (const auto& [name, parameter] : base_parameters(model)) bytes += parameter.numel() * element;
  return bytes;
}

void export_adapter(const ExportSource& source, const std::string& dir, Llama& model) {
  const auto saved_whole = whole_tensors_of_adapter(source.adapter);
  if (!has_lora(model)) {
    log_warn(dir +
             ": the adapter has tuned embedding or norms but no LoRA, which PEFT does not load; "
             "use export.kind: merged for other programs");
  }
  save_adapter(model, dir, saved_whole, {source.base_path, source.base_fingerprint});
  write_hf_config(dir, model->shape(), "float32");
  keep_base_config(source.base_path, dir);
  write_companions(source, dir);
}

std::string writes(ExportKind kind) {
  switch (kind) {
    case ExportKind::kConv:
      return "export.kind: conv writes the convolutions or gates of a cache";
    case ExportKind::kOfficialConv:
      return "export.kind: official_conv writes the convolutions of a cache";
    case ExportKind::kAdapter:
      return "export.kind: adapter writes LoRA, or tuned embedding or norms";
    case ExportKind::kMerged:
      break;
  }
  throw std::logic_error("a merged model can be written of anything");
}

bool has_lora_in(const std::string& adapter) {
  return has_adapter(adapter) && !read_adapter_config(adapter).targets.empty();
}

bool has_whole_tensors_in(const std::string& adapter) {
  return has_adapter(adapter) && !whole_tensors_of_adapter(adapter).empty();
}

/// What `adapter` has in place of what the kind writes, and what to do.
[[noreturn]] void refuse_kind(ExportKind kind, const std::string& adapter) {
  const std::string line = writes(kind) + ", and ";
  const std::string set_adapter =
      "; set model.adapter to the folder of a run, a checkpoint or an export that has some";
  if (adapter.empty()) throw UserError(line + "there are none" + set_adapter);
  const std::string none_but = line + adapter + " has none but ";
  if (holds_whole_base(adapter))
    throw UserError(none_but + "every weight tuned; use export.kind: merged");
  if (has_conv_weights(adapter))
    throw UserError(none_but + learned_parts_in(adapter) + "; use export.kind: conv");
  if (has_lora_in(adapter))
    throw UserError(none_but + "LoRA; use export.kind: adapter or export.kind: merged");
  if (has_whole_tensors_in(adapter))
    throw UserError(none_but + "tuned embedding or norms; use export.kind: merged");
  throw UserError(line + adapter + " has none" + set_adapter);
}

bool has_any(ExportKind kind, const std::string& adapter) {
  if (kind == ExportKind::kAdapter)
    return !holds_whole_base(adapter) && (has_lora_in(adapter) || has_whole_tensors_in(adapter));
  return has_conv_weights(adapter);
}

}  // namespace

void check_export_output(const ExportConfig& config) {
  if (config.output.empty()) throw UserError("export.output: name the folder to create");
  const std::string output = folder_name(config.output);
  if (path_exists(output)) {
    throw UserError(output + ": exists already; choose a new folder for export.output");
  }
  check_can_make_directories(output);
}

void check_export_kind(const ExportConfig& config, const CacheConfig& cache,
                       const std::string& adapter) {
  if (config.kind == ExportKind::kMerged) return;
  const bool is_told_by_loading = !adapter.empty() && !path_exists(adapter);
  if (!is_told_by_loading) {
    // Gates or convolutions that no folder has would be drawn at random.
    if (adapter.empty() || !has_any(config.kind, adapter)) refuse_kind(config.kind, adapter);
    if (config.kind != ExportKind::kAdapter && !cache.learns()) {
      throw UserError(writes(config.kind) + ", and the cache.policy that is given leaves out the " +
                      learned_parts_in(adapter) + " of " + adapter + "; remove cache.policy");
    }
  }
  if (config.kind == ExportKind::kOfficialConv) official_arguments_json(cache);  // or no such
}

void export_model(const ExportConfig& config, const ExportSource& source, Llama& model) {
  check_export_output(config);
  check_export_kind(config, model->cache_config(), source.adapter);
  AtomicFolder folder(config.output, ExistingFolder::kRefuse);
  switch (config.kind) {
    case ExportKind::kConv:
    case ExportKind::kOfficialConv:
      warn_about_lora(model, config.output);
      save_conv_weights(
          model, folder.path(), source.base_fingerprint,
          config.kind == ExportKind::kConv ? ConvConfigNames::kOurs : ConvConfigNames::kOfficial);
      break;
    case ExportKind::kAdapter:
      export_adapter(source, folder.path(), model);
      warn_about_losses(model->cache_config(), config.output);
      break;
    case ExportKind::kMerged:
      require_free_space(folder.path(), bytes_of_merged(model, config.dtype, source),
                         "the merged model");
      save_hf_model(model, folder.path(), config.dtype, config.max_shard_bytes);
      keep_base_config(source.base_path, folder.path());
      write_companions(source, folder.path());
      warn_about_losses(model->cache_config(), config.output);
      break;
  }
  folder.commit();
}

}  // namespace lococo
