#include "records/open_records.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/log.h"

namespace lococo {
namespace {

constexpr const char* kAdvice = "set data.template to plain, llama-2, llama-3, chatml or longlora";

std::optional<ChatFormat> format_of(RecordTemplate form) {
  switch (form) {
    case RecordTemplate::kAuto:
      break;
    case RecordTemplate::kPlain:
      return ChatFormat::kPlain;
    case RecordTemplate::kLlama2:
      return ChatFormat::kLlama2;
    case RecordTemplate::kLlama3:
      return ChatFormat::kLlama3;
    case RecordTemplate::kChatml:
      return ChatFormat::kChatml;
    case RecordTemplate::kLongLora:
      return ChatFormat::kLongLora;
  }
  return std::nullopt;
}

/// Full blocks alone: otherwise each length of a last block would be recorded by itself.
int64_t step_of_rows(const Config& config) {
  return is_blockwise(config) ? std::min(config.cache.block, config.data.context_length) : 1;
}

}  // namespace

TemplateChoice template_choice(const DataConfig& data) {
  return {format_of(data.record_template), /*required=*/false, kAdvice};
}

ChatTemplate template_of_records(const Config& config, const std::string& today) {
  const std::string folder = template_folder(config.model.path, config.data.tokenizer);
  auto chat = model_template(folder, template_choice(config.data), today);
  if (chat.format == ChatFormat::kNone) chat.format = ChatFormat::kPlain;
  chat.begins_with_bos = config.data.add_bos;
  return chat;
}

TranscriptMaker make_transcripts(const Config& config, const Tokenizer& tokenizer) {
  const auto chat = template_of_records(config, kFixedDay);
  const bool has_none =
      config.data.record_template == RecordTemplate::kAuto && chat.format == ChatFormat::kPlain;
  if (has_none) log_info("data.template: the model has no chat template; records are plain text");
  return {chat, tokenizer};
}

void naming_key(const std::string& key, const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    throw UserError(key + ": " + error.what());
  }
}

std::vector<RecordSet> open_record_sets(const Config& config, const std::string& key,
                                        const std::vector<DataSource>& sources,
                                        const Tokenizer* tokenizer,
                                        const std::optional<ChatTemplate>& chat) {
  if (tokenizer == nullptr) {
    throw UserError(key +
                    ": records need a tokenizer, and the model has none; give data.tokenizer");
  }
  const auto maker =
      chat ? TranscriptMaker(*chat, *tokenizer) : make_transcripts(config, *tokenizer);
  std::vector<RecordSet> sets;
  naming_key(key, [&] {
    for (const DataSource& source : sources) {
      sets.push_back(read_records(source.path, maker, config.data.on_too_long,
                                  config.data.context_length + 1, config.distributed.threads));
    }
  });
  return sets;
}

std::unique_ptr<RecordRows> open_records(const Config& config, const Tokenizer* tokenizer) {
  const DataConfig& data = config.data;
  if (data.records.empty()) return nullptr;
  auto sets = open_record_sets(config, "data.records", data.records, tokenizer);
  std::vector<double> weights;
  for (const DataSource& source : data.records) weights.push_back(source.weight);
  RecordRowOptions options;
  options.seed = config.train.seed;
  options.context_length = data.context_length;
  options.packing = data.packing;
  options.group_by_length = data.group_by_length;
  options.group = config.train.micro_batch;
  options.step = step_of_rows(config);
  options.filler = std::max(tokenizer->eos_id(), 0);
  options.far = resolved_pass(config) == PassKind::kTeach ? data.far : 0;
  return std::make_unique<RecordRows>(std::move(sets), weights, options);
}

}  // namespace lococo
