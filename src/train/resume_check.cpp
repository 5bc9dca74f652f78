#include "train/resume_check.h"

#include <set>

#include "config/config_write.h"
#include "config/config_yaml.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/log.h"
#include "weights/checkpoint_files.h"
#include "weights/fingerprint.h"

namespace lococo {
namespace {

using Names = std::set<std::string>;

const Names kOfEveryRun = {"train.output", "train.resume", "train.resume_changed"};
const Names kOtherTools = {"export", "generate", "bench"};
const Names kWithoutPart = {"checkpoint", "distributed", "eval", "log"};
/// They decide which tokens data.train and the lessons' texts become, and nothing else.
const Names kTokenKeys = {
    "data.train",   "data.tokenizer",    "data.raw_dtype", "data.text_field", "data.add_bos",
    "data.add_eos", "data.lesson_texts", "data.records",   "data.template",   "data.on_too_long"};
/// model.path is judged by the base's fingerprint. The last two matter only at the start of a run.
const Names kNone = {"data.validation", "data.validation_records", "data.cache_dir", "model.path",
                     "cache.init",      "cache.normalizer_init"};
const Names kRounding = {"attention.backend",         "train.micro_batch",
                         "train.loss_chunk",          "train.activation_checkpointing",
                         "train.recompute_attention", "train.cuda_graphs",
                         "train.deterministic"};
/// Shapes of what is trained, and the compression that it was trained for.
const Names kWeights = {"cache.policy",         "cache.slots",
                        "cache.keep_fraction",  "cache.kernel_size",
                        "cache.conv_layers",    "cache.expand",
                        "cache.local",          "cache.sinks",
                        "cache.scores",         "cache.score_decay",
                        "cache.score_distance", "cache.keys",
                        "cache.mass_channel",   "cache.normalizer_per_head",
                        "cache.mix_keys",       "cache.retention_units",
                        "cache.mixing",         "tune.lora_rank",
                        "tune.lora_alpha",      "tune.lora_targets"};
const Names kMixture = {
    "cache.keep_fraction",    "cache.kernel_size",         "cache.conv_layers",  "cache.expand",
    "cache.normalizer_range", "cache.normalizer_per_head", "cache.mass_channel", "cache.mix_keys"};
const Names kGroups = {"tune.conv",  "tune.normalizer", "tune.retention", "tune.lora",
                       "tune.embed", "tune.norm",       "tune.all"};

std::string section_of(const std::string& key) { return key.substr(0, key.find('.')); }

bool is_trained(const std::string& rate) { return rate != "null" && rate != "0.0"; }

std::vector<double> shares_of(const Config& config) {
  std::vector<double> shares;
  for (const DataSource& source : config.data.train) shares.push_back(source.weight);
  for (const DataSource& source : config.data.records) shares.push_back(source.weight);
  return shares;
}

std::string hex_list(const std::vector<uint64_t>& values) {
  std::string text;
  for (const uint64_t value : values) {
    text += (text.empty() ? "" : " ") + hex_text(value);
  }
  return text;
}

/// Judges one key after the other.
class Comparison {
 public:
  Comparison(const CheckpointState& there, const Config& checkpoint, const ResumingRun& here)
      : there_(there), checkpoint_(checkpoint), here_(here) {
    same_base_ = may_be_same_base(there.base_fingerprint, here.base_fingerprint);
    knows_data_ = !there.data_fingerprints.empty();
    same_data_ = knows_data_ && there.data_fingerprints == here.data_fingerprints &&
                 shares_of(checkpoint) == shares_of(here.config);
  }

  std::vector<ConfigChange> run() {
    const auto there = config_value_texts(checkpoint_), here = config_value_texts(here_.config);
    for (size_t i = 0; i < here.size(); ++i) {
      const std::string& key = here[i].first;
      if (here[i].second == there[i].second || kOfEveryRun.count(key) > 0 ||
          kOtherTools.count(section_of(key)) > 0) {
        continue;
      }
      changes_.push_back({key, there[i].second, here[i].second, ChangeKind::kNone});
      changes_.back().kind = kind_of(changes_.back());
    }
    if (!same_base_) {
      changes_.push_back({"the base's fingerprint", there_.base_fingerprint, here_.base_fingerprint,
                          ChangeKind::kWeights});
    }
    if (knows_data_ && there_.data_fingerprints != here_.data_fingerprints) {
      const bool lessons =
          checkpoint_.data.lesson_share > 0.0 || here_.config.data.lesson_share > 0.0;
      const bool records = !checkpoint_.data.records.empty() || !here_.config.data.records.empty();
      changes_.push_back({std::string("the fingerprint of ") +
                              (records ? "data.records" : "data.train's tokens") +
                              (lessons ? " and of the lessons' texts" : ""),
                          hex_list(there_.data_fingerprints), hex_list(here_.data_fingerprints),
                          ChangeKind::kMeaning});
    }
    return std::move(changes_);
  }

 private:
  ChangeKind kind_of(const ConfigChange& change) const {
    const std::string& key = change.key;
    if (kNone.count(key) > 0 || kWithoutPart.count(section_of(key)) > 0) return ChangeKind::kNone;
    if (kRounding.count(key) > 0) return ChangeKind::kRounding;
    if (kTokenKeys.count(key) > 0) return same_data_ ? ChangeKind::kNone : ChangeKind::kMeaning;
    if (key.rfind("tune.lora_", 0) == 0 && !trains_lora()) return ChangeKind::kNone;
    if (!matters_to_policy(key) || !matters_to_pattern(key)) return ChangeKind::kNone;
    if (kWeights.count(key) > 0) return ChangeKind::kWeights;
    if (key == "cache.alone_fraction" && mixes()) return ChangeKind::kWeights;
    if (kGroups.count(key) > 0 && !is_trained(change.there) && !is_trained(change.here))
      return ChangeKind::kNone;
    if (kGroups.count(key) > 0 && is_trained(change.there) != is_trained(change.here)) {
      // Without a rate of its own a normalizer has the convolutions'.
      return key == "tune.normalizer" ? ChangeKind::kMeaning : ChangeKind::kWeights;
    }
    if (key.rfind("model.init", 0) == 0) {
      return same_base_ ? ChangeKind::kNone : ChangeKind::kWeights;
    }
    const bool constant = here_.config.train.decay == Decay::kConstant;
    if (key == "train.steps" && constant) return ChangeKind::kNone;
    return ChangeKind::kMeaning;
  }

  /// Where nothing is compressed, how it is compressed does not matter; without mixtures their
  /// options do not.
  bool matters_to_policy(const std::string& key) const {
    const CachePolicyKind there = checkpoint_.cache.policy, here = here_.config.cache.policy;
    if (section_of(key) != "cache" || there != here) return true;
    if (here == CachePolicyKind::kNone) return kWeights.count(key) == 0 && key != "cache.buffer";
    return mixes() || kMixture.count(key) == 0;
  }

  bool mixes() const { return checkpoint_.cache.has_convs() || here_.config.cache.has_convs(); }

  /// Full attention has no segments, and what is said in two ways is compared as it works.
  bool matters_to_pattern(const std::string& key) const {
    if (section_of(key) != "attention") return true;
    const AttentionConfig &there = checkpoint_.attention, &here = here_.config.attention;
    if (there.pattern != here.pattern) return key == "attention.pattern";
    if (here.pattern == PatternKind::kFull) return false;
    // Heads beyond those of any model tell every share apart.
    constexpr int64_t kHeads = int64_t{1} << 20;
    if (key == "attention.shift_fraction")
      return there.shifted_heads(kHeads) != here.shifted_heads(kHeads);
    if (key == "attention.sinks") return there.sink_tokens() != here.sink_tokens();
    return there.group(checkpoint_.data.context_length) !=
           here.group(here_.config.data.context_length);
  }

  bool trains_lora() const {
    return checkpoint_.tune.lora.value_or(0.0) > 0.0 || here_.config.tune.lora.value_or(0.0) > 0.0;
  }

  const CheckpointState& there_;
  const Config& checkpoint_;
  const ResumingRun& here_;
  bool same_base_ = false, knows_data_ = false, same_data_ = false;
  std::vector<ConfigChange> changes_;
};

/// "train.seed is 1 there and 2 here, ..." of the changes of these kinds; empty without any.
std::string list_changes(const std::vector<ConfigChange>& changes,
                         const std::set<ChangeKind>& kinds) {
  std::string text;
  for (const ConfigChange& change : changes) {
    if (kinds.count(change.kind) == 0) continue;
    text += (text.empty() ? "" : ", ") + change.key + " is " + change.there + " there and " +
            change.here + " here";
  }
  return text;
}

std::string keys_of(const std::vector<ConfigChange>& changes, ChangeKind kind) {
  std::string text;
  for (const ConfigChange& change : changes) {
    if (change.kind == kind) text += (text.empty() ? "" : ", ") + change.key;
  }
  return text;
}

void refuse(const std::string& dir, const std::vector<ConfigChange>& changes) {
  const std::string fixed = keys_of(changes, ChangeKind::kWeights);
  std::string line = dir + ": belongs to another run: " +
                     list_changes(changes, {ChangeKind::kMeaning, ChangeKind::kWeights}) +
                     "; give the same, ";
  if (fixed.empty()) {
    line += "or go on all the same with train.resume_changed=accept";
  } else {
    line += "or begin a run of its own with another train.output: " + fixed +
            " cannot change within one";
  }
  throw UserError(line);
}

}  // namespace

std::vector<ConfigChange> resume_changes(const CheckpointState& there, const Config& checkpoint,
                                         const ResumingRun& here) {
  return Comparison(there, checkpoint, here).run();
}

void check_resume(const std::string& dir, const CheckpointState& there, const ResumingRun& here) {
  const bool accept = here.config.train.resume_changed == ResumeChanged::kAccept;
  Config checkpoint;
  try {
    checkpoint = parse_old_config(there.config_yaml, dir + "/" + kConfigFile);
  } catch (const UserError& error) {
    const std::string what = std::string(error.what()) + ", so the runs cannot be compared";
    if (!accept) throw UserError(what + "; go on all the same with train.resume_changed=accept");
    log_warn(what);
    return;
  }
  if (there.data_fingerprints.empty())
    log_info(dir + ": is from before the content of data.train was written down; not compared");
  const auto changes = resume_changes(there, checkpoint, here);
  const std::string meaning = list_changes(changes, {ChangeKind::kMeaning});
  const bool fits = keys_of(changes, ChangeKind::kWeights).empty();
  if (!fits || (!accept && !meaning.empty())) refuse(dir, changes);
  if (!meaning.empty()) log_warn(dir + ": going on as another run: " + meaning);
  const std::string harmless = list_changes(changes, {ChangeKind::kNone, ChangeKind::kRounding});
  if (!harmless.empty()) log_info(dir + ": changed without harm: " + harmless);
}

}  // namespace lococo
