#include "config/config_effect.h"

#include <algorithm>
#include <set>

#include "config/config_write.h"

namespace lococo {
namespace {

using Keys = std::vector<std::string>;

const Keys kMixtureKeys = {"cache.keep_fraction",    "cache.kernel_size",
                           "cache.conv_layers",      "cache.expand",
                           "cache.normalizer_init",  "cache.normalizer_per_head",
                           "cache.normalizer_range", "cache.mass_channel",
                           "cache.mix_keys",         "cache.init"};
const Keys kRetentionKeys = {"cache.retention_units", "cache.alone_fraction"};
const Keys kTeachKeys = {
    "teach.slots",      "teach.block",         "teach.temperature", "teach.final_temperature",
    "teach.far_weight", "teach.answer_weight", "teach.answer_truth"};
const Keys kScoreKeys = {"cache.scores", "cache.score_decay", "cache.score_distance"};
/// cache.block stays: the prompt of a generation is read in blocks whatever the policy.
const Keys kCompressionKeys = {"cache.slots", "cache.buffer",    "cache.sinks",
                               "cache.keys",  "cache.positions", "cache.position_cap"};
const Keys kQuestionKeys = {"eval.trials",    "eval.seed",     "eval.kinds",    "eval.depths",
                            "eval.hay",       "eval.split",    "eval.distance", "eval.distractors",
                            "eval.questions", "eval.answerer", "eval.samples"};
/// Tasks, and how a message names them.
struct Tasks {
  std::set<EvalTask> tasks;
  const char* names;
};
/// The tasks that make their prompts; those of choice and qa are the file's.
const Tasks kOfLengths = {
    {EvalTask::kPasskey, EvalTask::kNeedle, EvalTask::kRuler, EvalTask::kManyShot},
    "passkey, needle, ruler or many_shot"};
const Tasks kOfDepths = {{EvalTask::kPasskey, EvalTask::kNeedle}, "passkey or needle"};
/// What only some of the tasks with questions read; whether a task has kinds, config_check says.
const std::vector<std::pair<const char*, Tasks>> kTaskKeys = {
    {"eval.trials", kOfLengths},
    {"eval.lengths", kOfLengths},
    {"eval.depths", kOfDepths},
    {"eval.distance", kOfDepths},
    {"eval.hay", {{EvalTask::kPasskey}, "passkey"}},
    {"eval.distractors", {{EvalTask::kNeedle}, "needle"}},
    {"eval.split",
     {{EvalTask::kNeedle, EvalTask::kRuler, EvalTask::kManyShot}, "needle, ruler or many_shot"}},
    {"eval.questions",
     {{EvalTask::kChoice, EvalTask::kQa, EvalTask::kManyShot}, "choice, qa or many_shot"}}};
const Keys kTextEvalKeys = {
    "eval.windows",    "eval.lengths", "eval.position_buckets",     "eval.per_token", "eval.stride",
    "eval.max_tokens", "eval.far",     "eval.segments_per_document"};
const Keys kPatternKeys = {"attention.group_tokens", "attention.group_fraction",
                           "attention.shift_fraction", "attention.sinks"};
const Keys kRecomputationKeys = {"train.activation_checkpointing", "train.recompute_attention"};
const Keys kBlockTrainingKeys = {"cache.boundary_targets", "cache.first_block_gradient"};

bool ends_with_one_of(const std::string& path, const Keys& endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return path.ends_with(ending); });
}

/// Collects the keys that were given without effect, reason by reason.
class Finder {
 public:
  explicit Finder(const Config& config) : config_(config) {
    const auto values = config_value_texts(config), defaults = config_value_texts(Config{});
    for (size_t i = 0; i < values.size(); ++i) {
      if (config.given.count(values[i].first) > 0 && values[i] != defaults[i])
        asked_for_.insert(values[i].first);
    }
  }

  Keys run() {
    check_policy();
    check_training();
    check_data();
    check_tasks();
    check_other_tools();
    return std::move(found_);
  }

 private:
  void add(const Keys& keys, const std::string& reason) {
    std::string given;
    for (const std::string& key : keys) {
      if (asked_for_.count(key) > 0) given += (given.empty() ? "" : ", ") + key;
    }
    if (!given.empty()) found_.push_back(given + " (" + reason + ")");
  }

  /// Whether the config is a training's, and perhaps its evaluation's: which tool reads it is not
  /// known here.
  bool is_training() const { return !config_.data.train.empty() || !config_.data.records.empty(); }

  void check_policy() {
    switch (config_.cache.policy) {
      case CachePolicyKind::kNone:
        return check_no_policy();
      case CachePolicyKind::kStreaming:
        add({"cache.local"}, "cache.policy streaming keeps the newest tokens anyway");
        add(kScoreKeys, "cache.policy streaming has no scores");
        add(kMixtureKeys, "cache.policy streaming mixes nothing");
        add(kRetentionKeys, "cache.policy streaming has no gates");
        return;
      case CachePolicyKind::kH2o:
        add(kMixtureKeys, "cache.policy h2o mixes nothing");
        add(kRetentionKeys, "cache.policy h2o has no gates");
        return;
      case CachePolicyKind::kLococo:
        if (config_.cache.init == ConvInit::kIdentity)
          add({"cache.normalizer_init"}, "cache.init identity begins with normalizers of 0");
        add(kRetentionKeys, "cache.policy lococo has no gates");
        return;
      case CachePolicyKind::kRetention:
        if (!config_.cache.has_convs())
          return add(kMixtureKeys, "cache.mixing has no convolutions here; conv has");
        add({"cache.keep_fraction", "cache.mix_keys"},
            "cache.mixing conv mixes values alone, in the slots that cache.alone_fraction leaves");
        return;
    }
  }

  void check_no_policy() {
    const std::string reason = "cache.policy none keeps everything";
    add(kCompressionKeys, reason);
    add({"cache.local"}, reason);
    add(kScoreKeys, reason);
    add(kMixtureKeys, reason);
    add(kRetentionKeys, reason);
    if (!is_blockwise(config_)) add(kBlockTrainingKeys, "nothing is trained in blocks");
  }

  void check_training() {
    const TrainConfig& train = config_.train;
    if (is_blockwise(config_)) {
      add(kRecomputationKeys, "the blockwise pass keeps one block's activations");
    } else {
      add({"train.cuda_graphs"}, "only the blockwise pass is recorded");
    }
    if (config_.attention.pattern == PatternKind::kFull)
      add(kPatternKeys, "attention.pattern full has no segments");
    else if (config_.attention.group(config_.data.context_length) >=
             2 * config_.data.context_length)
      add({"attention.pattern", "attention.group_tokens", "attention.group_fraction"},
          "half a segment holds the data.context_length tokens, so that attention is full");
    if (resolved_pass(config_) == PassKind::kTeach) {
      const std::string reason = "train.pass teach sees whole sequences";
      add(kRecomputationKeys, "train.pass teach keeps all activations");
      add(kBlockTrainingKeys, reason);
      add({"cache.bptt_blocks"}, reason);
    } else {
      if (!is_blockwise(config_) && !train.activation_checkpointing)
        add({"train.recompute_attention"}, "train.activation_checkpointing is off");
      add(kTeachKeys, "train.pass is not teach");
    }
    if (config_.cache.bptt_blocks > 1)
      add({"train.cuda_graphs"}, "windows of cache.bptt_blocks are not recorded");
    if (train.decay == Decay::kConstant)
      add({"train.final_lr_fraction"}, "train.decay constant does not fall");
    if (config_.tune.lora.value_or(0.0) == 0.0) {
      add({"tune.lora_rank", "tune.lora_alpha", "tune.lora_targets"}, "tune.lora is not trained");
    }
    if (config_.distributed.pipeline == 1)
      add({"distributed.stage_layers"}, "distributed.pipeline 1 has one stage");
    if (config_.distributed.backend == CommBackend::kSingle)
      add({"distributed.shard_optimizer", "distributed.timeout_s"},
          "distributed.backend single has one rank");
    if (config_.data.validation.empty() && config_.data.validation_records.empty())
      add({"eval.after_training"}, "data.validation names nothing");
  }

  void check_data() {
    if (config_.data.lesson_share == 0.0)
      add({"data.lesson_texts", "data.lesson_length"}, "data.lesson_share 0 makes no lessons");
    if (resolved_pass(config_) != PassKind::kTeach)
      add({"data.far"}, "the pass counts far targets like all others");
    check_records();
    std::vector<DataSource> sources = config_.data.train;
    sources.insert(sources.end(), config_.data.validation.begin(), config_.data.validation.end());
    if (config_.data.lesson_share > 0.0) {
      for (const std::string& path : config_.data.lesson_texts) sources.push_back({path, 1.0});
    }
    if (sources.empty()) {
      const bool has_records =
          !config_.data.records.empty() || !config_.data.validation_records.empty();
      if (has_records)
        add({"data.text_field", "data.raw_dtype"}, "there are records, and no texts");
      return;
    }
    const auto all_end_with = [&](const Keys& endings) {
      return std::all_of(sources.begin(), sources.end(), [&](const DataSource& source) {
        return ends_with_one_of(source.path, endings);
      });
    };
    // Folders and other names may hold anything.
    if (all_end_with({".bin", ".tokens"})) {
      add({"data.text_field", "data.add_eos", "data.cache_dir"}, "every source holds tokens");
    } else if (all_end_with({".txt", ".bin", ".tokens"})) {
      add({"data.text_field"}, "no source is JSONL");
    }
    if (all_end_with({".txt", ".jsonl", ".jsonl.zst"}))
      add({"data.raw_dtype"}, "no source holds raw tokens");
  }

  void check_records() {
    const DataConfig& data = config_.data;
    if (data.records.empty() && data.validation_records.empty()) {
      add({"data.template", "data.on_too_long"}, "there are no records");
    }
    if (data.records.empty()) {
      add({"data.packing", "data.group_by_length"}, "data.records names nothing");
      return;
    }
    add({"data.sampling", "data.min_document_tokens"}, "data.records has records, not texts");
    if (data.packing) {
      add({"data.group_by_length"}, "data.packing fills all rows alike");
    } else if (config_.train.micro_batch == 1) {
      add({"data.group_by_length"}, "a micro-batch of one sequence has no padding");
    }
  }

  void check_tasks() {
    if (config_.eval.task.task == EvalTask::kPerplexity) {
      add(kQuestionKeys, "eval.task perplexity asks nothing");
      if (config_.attention.pattern == PatternKind::kFull)
        add({"eval.pattern"}, "attention.pattern full is dense anyway");
      check_scored_records();
    } else {
      // A training scores them whatever is asked after it.
      if (!is_training())
        add({"data.validation_records"}, "only eval.task perplexity scores records");
      add({"eval.per_token", "eval.position_buckets", "eval.per_segment", "eval.windows",
           "eval.pattern", "eval.max_tokens", "eval.stride", "eval.segments_per_document",
           "eval.far"},
          "for eval.task perplexity alone");
      for (const auto& [key, read_by] : kTaskKeys) {
        if (read_by.tasks.count(config_.eval.task.task) == 0)
          add({key}, std::string("only eval.task ") + read_by.names + " reads it");
      }
      if (config_.eval.task.hay == HayKind::kLongLora)
        add({"eval.seed", "eval.depths", "eval.distance"}, "eval.hay longlora draws as its code");
    }
  }

  void check_scored_records() {
    if (config_.data.validation_records.empty()) return;
    // A training scores texts beside records, an evaluation records alone.
    if (is_training() && !config_.data.validation.empty()) return;
    add({"data.validation"}, "data.validation_records are scored alone");
    add(kTextEvalKeys, "data.validation_records are scored record by record");
  }

  void check_other_tools() {
    const GenerateConfig& generate = config_.generate;
    const bool talks = generate.chat || !generate.question.empty() || !generate.document.empty();
    // The questions of a task are put in the form of conversations too.
    if (!talks && config_.eval.task.task == EvalTask::kPerplexity)
      add({"generate.chat_template", "generate.system"}, "a prompt is continued as it is");
    if (generate.temperature == 0.0) {
      add({"generate.top_p", "generate.top_k", "generate.seed"},
          "generate.temperature 0 draws nothing");
    }
    if (!config_.cache.compresses())
      add({"generate.decode_buffer"}, "cache.policy none compresses nothing");
    if (config_.export_.kind != ExportKind::kMerged)
      add({"export.dtype", "export.max_shard_bytes"}, "for export.kind merged alone");
  }

  const Config& config_;
  std::set<std::string> asked_for_;  ///< given, and not what they are anyway
  Keys found_;
};

}  // namespace

std::vector<std::string> options_without_effect(const Config& config) {
  return Finder(config).run();
}

std::string effect_warning(const Config& config) {
  std::string line;
  for (const std::string& option : options_without_effect(config)) {
    line += (line.empty() ? "without effect in this run: " : "; ") + option;
  }
  return line;
}

}  // namespace lococo
