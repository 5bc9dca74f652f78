#include "config/config_check.h"

#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "config/cache_check.h"
#include "config/config_checker.h"
#include "core/projections.h"

namespace lococo {
namespace {

/// The combinations that cannot work, one function for each section.
class Checker : ConfigChecker {
 public:
  using ConfigChecker::ConfigChecker;

  void run() const {
    check_model();
    check_data();
    check_cache_config(config_, origins_);
    check_interpolation();
    check_pattern();
    check_tune();
    check_lora_targets();
    check_train();
    check_distributed();
    check_eval();
    check_bench();
  }

 private:
  void check_model() const {
    const ModelConfig& model = config_.model;
    if (model.rope_scaling) {
      const std::string problem = rope_problem(*model.rope_scaling);
      require(problem.empty(), "model.rope_scaling", problem.substr(problem.find(' ') + 1));
    }
    ModelShape shape = model.init;
    const bool given = shape.vocab_size > 0 || shape.hidden_size > 0 || shape.num_layers > 0 ||
                       shape.num_heads > 0 || shape.intermediate_size > 0;
    if (!model.path.empty() || !given) return;
    require(shape.head_dim > 0 || shape.num_heads == 0 || shape.hidden_size % shape.num_heads == 0,
            "model.init.hidden_size",
            std::to_string(shape.hidden_size) + " is not a multiple of num_attention_heads " +
                std::to_string(shape.num_heads) + "; change one or give head_dim");
    shape.resolve_defaults();
    const std::string problem = shape_problem(shape);
    if (problem.empty()) return;
    const size_t colon = problem.find(": ");
    fail("model.init." + problem.substr(0, colon), problem.substr(colon + 2));
  }

  void check_data() const {
    require(!config_.data.text_field.empty(), "data.text_field",
            "is empty; name a key of a record");
    require(config_.data.lesson_length <= config_.data.context_length, "data.lesson_length",
            std::to_string(config_.data.lesson_length) + " is more than data.context_length " +
                std::to_string(config_.data.context_length) + "; use that or less");
    if (!config_.data.records.empty()) check_records();
  }

  void check_records() const {
    const DataConfig& data = config_.data;
    require(data.train.empty(), "data.records",
            "are trained on in place of data.train; give one of the two");
    require(data.lesson_share == 0.0, "data.lesson_share",
            "puts lessons among the sequences of data.train, and there are none beside "
            "data.records; use 0");
    require(config_.cache.distill == 0.0, "cache.distill",
            "compares all tokens with full attention, but of data.records the answers alone are "
            "trained on; use 0");
    require(!data.packing || resolved_pass(config_) != PassKind::kTeach, "data.packing",
            "train.pass teach has one text in a sequence; use false");
  }

  void check_pattern() const {
    const AttentionConfig& attention = config_.attention;
    require(!attention.group_tokens || !attention.group_fraction, "attention.group_tokens",
            "and attention.group_fraction both say how long a segment is; remove one");
    const bool evaluates = config_.eval.pattern == EvalPattern::kTraining;
    require(!evaluates || !config_.cache.compresses(), "eval.pattern",
            "training belongs to whole sequences, but cache.policy takes them block after block; "
            "use full, or cache.policy none");
    if (attention.pattern == PatternKind::kFull) return;
    require(!trains() || resolved_pass(config_) == PassKind::kFullSequence, "attention.pattern",
            "belongs to train.pass full_sequence: in blocks the cache decides what is seen; use "
            "full, or train with cache.policy none");
    const int64_t group = attention.group(config_.data.context_length);
    const std::string context = std::to_string(config_.data.context_length);
    require(group > 0, "attention.group_fraction",
            "leaves no token in a segment of " + context +
                " (data.context_length); use a larger share or group_tokens");
    require(attention.sink_tokens() <= group, "attention.sinks",
            std::to_string(attention.sink_tokens()) + " are more than the " +
                std::to_string(group) + " tokens of a segment; use fewer, or longer segments");
  }

  void check_interpolation() const {
    require(config_.model.interpolate_to == 0 || !config_.model.rope_scaling,
            "model.interpolate_to",
            "and model.rope_scaling both say how positions are scaled; "
            "remove one");
  }

  void check_tune() const {
    const TuneConfig& tune = config_.tune;
    if (!config_.cache.has_convs()) {
      const std::string what =
          "only cache.policy lococo and cache.mixing conv have these weights; remove it or set one";
      require(!trained(tune.conv), "tune.conv", what);
      require(!trained(tune.normalizer), "tune.normalizer", what);
    }
    if (!trained(tune.all)) return;
    const std::string what =
        "overlaps with tune.all, which trains every weight of the base; remove one";
    require(config_.model.base_precision == BasePrecision::kAuto, "tune.all",
            "trains every weight of the base, which model.base_precision quantises; use tune.lora, "
            "or model.base_precision auto");
    require(!trained(tune.lora), "tune.lora", what);
    require(!trained(tune.embed), "tune.embed", what);
    require(!trained(tune.norm), "tune.norm", what);
  }

  void check_lora_targets() const {
    const auto& targets = config_.tune.lora_targets;
    std::set<std::string> seen;
    for (const std::string& target : targets) {
      require(is_projection(target), "tune.lora_targets",
              "\"" + target + "\" is not a projection; use one of " + projections_text());
      require(seen.insert(target).second, "tune.lora_targets", target + " is listed twice");
    }
    require(!targets.empty() || !trained(config_.tune.lora), "tune.lora_targets",
            "is empty, but tune.lora is given; name a projection");
  }

  void check_train() const {
    const TrainConfig& train = config_.train;
    require(train.micro_batch <= train.sequences_per_step, "train.micro_batch",
            std::to_string(train.micro_batch) + " is more than the " +
                std::to_string(train.sequences_per_step) + " of train.sequences_per_step");
    require(train.warmup_steps <= train.steps, "train.warmup_steps",
            std::to_string(train.warmup_steps) + " is more than the " +
                std::to_string(train.steps) + " of train.steps");
    const bool has_policy = config_.cache.compresses();
    require(train.pass != PassKind::kBlockwise || !trained(config_.tune.retention), "train.pass",
            "blockwise gives gates no gradient; use teach");
    require(train.pass != PassKind::kFullSequence || !has_policy, "train.pass",
            "full_sequence has no cache to compress; use blockwise, or cache.policy none");
  }

  void check_distributed() const {
    const std::string& device = config_.distributed.device;
    const std::string number = device.rfind("cuda:", 0) == 0 ? device.substr(5) : "";
    const bool is_numbered = !number.empty() && number.size() < 4 &&
                             number.find_first_not_of("0123456789") == std::string::npos;
    require(device == "auto" || device == "cpu" || device == "cuda" || is_numbered,
            "distributed.device",
            "\"" + device + "\" is not a device; use auto, cpu, cuda or cuda:N");
    const bool on_cpu = device == "cpu";
    require(config_.distributed.backend != CommBackend::kNccl || !on_cpu, "distributed.backend",
            "nccl needs GPUs, but distributed.device is cpu; use auto or mpi");
    if (config_.distributed.pipeline > 1) check_pipeline();
    const auto& layers = config_.distributed.stage_layers;
    require(layers.empty() || std::ssize(layers) == config_.distributed.pipeline,
            "distributed.stage_layers",
            "has " + std::to_string(layers.size()) + " numbers for distributed.pipeline " +
                std::to_string(config_.distributed.pipeline) + "; give one for each stage");
  }

  void check_pipeline() const {
    const std::string key = "distributed.pipeline";
    require(config_.distributed.backend != CommBackend::kSingle, key,
            "is for several ranks, but distributed.backend is single; use auto");
    require(resolved_pass(config_) != PassKind::kTeach, key,
            "has no whole model for train.pass teach to learn from; teach with "
            "distributed.pipeline 1");
    require(config_.cache.bptt_blocks == 1, key,
            "sends a block's gradient back before the next block's; use cache.bptt_blocks 1");
    require(config_.cache.distill == 0.0, key,
            "has no whole model for full attention to teach; use cache.distill 0");
    const TuneConfig& tune = config_.tune;
    const bool in_layers = trained(tune.conv) || trained(tune.normalizer) || trained(tune.lora) ||
                           trained(tune.norm) || trained(tune.all);
    require(in_layers || !trained(tune.embed), key,
            "leaves nothing to train to later stages: tune.embed is the first one's alone; tune "
            "lora, norm or conv too");
  }

  /// A figure that is asked for twice would count the same questions twice.
  void require_once(const std::string& key, const std::vector<int64_t>& numbers) const {
    std::set<int64_t> seen;
    for (const int64_t number : numbers)
      require(seen.insert(number).second, key,
              std::to_string(number) + " stands there twice; name it once");
  }

  void check_eval() const {
    const EvalConfig& eval = config_.eval;
    require(!eval.lengths.empty(), "eval.lengths", "is empty; name a length in tokens");
    require_once("eval.lengths", eval.lengths);
    require_once("eval.depths", eval.task.depths);
    check_kinds();
    // Questions have no segments; an evaluation during training has, whatever eval.task says.
    if (eval.task.task == EvalTask::kPerplexity || eval.every > 0) check_segments();
    require(eval.windows == EvalWindows::kStride ||
                (eval.stride == 0 && eval.segments_per_document == 0),
            "eval.windows",
            "longlora says where segments begin; remove eval.stride and "
            "eval.segments_per_document");
    require(eval.every == 0 || !config_.data.validation.empty() ||
                !config_.data.validation_records.empty(),
            "eval.every",
            "is set, but data.validation is empty (data.validation_records too); name a "
            "source or set it to 0");
  }

  void check_kinds() const {
    const EvalTaskConfig& task = config_.eval.task;
    const bool has_kinds = task.task == EvalTask::kNeedle || task.task == EvalTask::kRuler;
    require(has_kinds || task.task == EvalTask::kPerplexity || task.kinds.empty(), "eval.kinds",
            "eval.task needle and ruler alone have kinds; leave the key out");
  }

  void check_segments() const {
    const EvalConfig& eval = config_.eval;
    for (const int64_t length : eval.lengths) {
      require(length <= eval.max_tokens, "eval.lengths",
              std::to_string(length) + " is more than the " + std::to_string(eval.max_tokens) +
                  " of eval.max_tokens, so there would be no segment");
      const int64_t inputs = length - (eval.windows == EvalWindows::kLongLora ? 1 : 0);
      require(eval.position_buckets <= inputs, "eval.position_buckets",
              std::to_string(eval.position_buckets) + " are more than the " +
                  std::to_string(inputs) + " tokens of a segment (eval.lengths); use fewer");
    }
  }

  void check_bench() const {
    const BenchConfig& bench = config_.bench;
    require(!bench.batch.empty(), "bench.batch", "is empty; name a number of sequences");
    require(!bench.contexts.empty(), "bench.contexts", "is empty; name a length in tokens");
  }
};

}  // namespace

void check_config(const Config& config, const ConfigOrigins& origins) {
  Checker(config, origins).run();
}

}  // namespace lococo
