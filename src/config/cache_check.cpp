#include "config/cache_check.h"

#include <algorithm>
#include <string>

#include "config/config_checker.h"
#include "config/position_scaling.h"
#include "config/taught_cache.h"

namespace lococo {
namespace {

class CacheChecker : ConfigChecker {
 public:
  using ConfigChecker::ConfigChecker;

  void run() const {
    check_cache();
    if (config_.cache.mixing != MixingKind::kNone) check_mixing();
    if (config_.cache.has_convs()) check_convs();
    check_positions();
    check_retention();
    check_scaling();
  }

 private:
  void check_cache() const {
    const CacheConfig& cache = config_.cache;
    require(cache.kernel_size % 2 == 1, "cache.kernel_size",
            std::to_string(cache.kernel_size) + " must be odd; use " +
                std::to_string(cache.kernel_size + 1));
    check_bptt();
    check_distill();
    check_lessons();
    if (!cache.compresses()) return;
    require(cache.block > 1 || cache.boundary_targets || !trains(), "cache.block",
            "1 leaves nothing to train on: without cache.boundary_targets the last query of each "
            "block has no target, and there is no other; use longer blocks or boundary_targets");
    check_scores();
    require(cache.policy != CachePolicyKind::kStreaming || cache.sinks < cache.slots, "cache.sinks",
            std::to_string(cache.sinks) + " leave none of the " + std::to_string(cache.slots) +
                " slots for the newest tokens; use fewer sinks or more slots");
    const bool has_newest = cache.policy != CachePolicyKind::kStreaming;  // which keeps them anyway
    const int64_t fixed = cache.sinks + (has_newest ? cache.local : 0);
    const std::string share = cache.mixed_slots() > 0
                                  ? " (" + std::to_string(cache.mixed_slots()) + " hold mixtures)"
                                  : "";
    require(fixed <= cache.kept_slots(), cache.sinks > cache.local ? "cache.sinks" : "cache.local",
            std::to_string(cache.sinks) + " sinks and " + std::to_string(cache.local) +
                " newest tokens do not fit into the " + std::to_string(cache.kept_slots()) +
                " of " + std::to_string(cache.slots) + " slots that keep tokens unchanged" + share +
                "; use fewer, or more cache.slots" +
                (cache.mixed_slots() > 0 ? " or a larger cache.keep_fraction" : ""));
  }

  void check_lessons() const {
    require(config_.cache.distill == 0.0 || config_.data.lesson_share == 0.0, "data.lesson_share",
            "cache.distill would compare what fills a lesson up, too; use 0");
  }

  void check_scores() const {
    const CacheConfig& cache = config_.cache;
    require(
        cache.score_decay == 1.0 || cache.scores == ScoreKind::kAccumulated, "cache.score_decay",
        "has no effect on scores of the last block; remove it, or use cache.scores accumulated");
    const std::string distance = std::to_string(cache.score_distance);
    require(cache.policy == CachePolicyKind::kStreaming || cache.score_distance <= cache.local,
            "cache.score_distance",
            distance +
                " newest tokens have no score yet and would be dropped; keep them with "
                "cache.local " +
                distance + " or more");
  }

  void check_bptt() const {
    if (config_.cache.bptt_blocks == 1) return;
    require(config_.cache.compresses(), "cache.bptt_blocks",
            "lets gradients cross a cache, and there is none; set cache.policy or use 1");
    require(config_.train.pass != PassKind::kFullSequence, "cache.bptt_blocks",
            "has no effect with train.pass full_sequence, which has no blocks; use 1 or "
            "train.pass auto");
  }

  void check_distill() const {
    if (config_.cache.distill == 0.0) return;
    const TuneConfig& tune = config_.tune;
    require(config_.cache.has_convs(), "cache.distill",
            "teaches convolutions; set cache.policy lococo or cache.mixing conv, or use 0");
    require(config_.train.pass != PassKind::kFullSequence, "cache.distill",
            "has no effect with train.pass full_sequence, which compresses nothing; use 0");
    require(config_.cache.bptt_blocks == 1, "cache.distill",
            "cannot be combined with cache.bptt_blocks > 1; set one of them back");
    for (const auto& rate : {tune.lora, tune.embed, tune.norm, tune.all}) {
      require(rate.value_or(0.0) == 0.0, "cache.distill",
              "compares with the model's own full attention, which must not move; tune nothing "
              "but conv and normalizer");
    }
  }

  void check_mixing() const {
    const CacheConfig& cache = config_.cache;
    require(cache.has_retention(), "cache.mixing",
            "belongs to cache.policy retention (lococo mixes anyway); remove it");
    require(cache.massed_slots() > 0, "cache.alone_fraction",
            "leaves no slot for mixtures; use a smaller one, or cache.mixing none");
    require(resolved_pass(config_) != PassKind::kTeach, "cache.mixing",
            "train.pass teach drops softly and mixes nothing; teach without it, then mix (conv: "
            "tune the convolutions with tune.conv and model.adapter)");
    require(cache.mixing != MixingKind::kSimilarity || cache.keys == KeyKind::kUnrotated,
            "cache.mixing",
            "similarity compares keys wherever they stood; set cache.keys unrotated");
  }

  void check_convs() const {
    const CacheConfig& cache = config_.cache;
    if (!cache.has_retention()) {
      require(cache.mixed_slots() > 0, "cache.keep_fraction",
              "leaves no slot for mixtures; use a smaller one, or cache.policy h2o");
    }
    const bool tunes = trained(config_.tune.conv) || trained(config_.tune.normalizer);
    const int64_t room = cache.slots + cache.buffer, length = config_.data.context_length;
    require(!tunes || length > room, "data.context_length",
            std::to_string(length) + " tokens fit into the cache's " + std::to_string(room) +
                " slots, so that nothing is mixed and convolutions learn nothing; use longer "
                "sequences or fewer slots");
    require(cache.conv_layers > 1 || cache.expand == 1, "cache.expand",
            "has no effect with one convolution; remove it or raise cache.conv_layers");
  }

  void check_positions() const {
    const CacheConfig& cache = config_.cache;
    if (cache.positions == PositionKind::kSlot) {
      require(cache.position_cap == 0, "cache.position_cap",
              "belongs to cache.positions text; set that or remove it");
      return;
    }
    require(cache.keys == KeyKind::kUnrotated, "cache.positions",
            "text turns keys when they are read, so they must be cached unrotated; set cache.keys "
            "unrotated (rotated keys stand where they stood in the text anyway)");
    require(cache.policy != CachePolicyKind::kLococo, "cache.positions",
            "text: a mixture of tokens has no place in the text; use slot with cache.policy "
            "lococo");
    const int64_t reach = cache.slots + cache.block;
    require(cache.position_cap == 0 || cache.position_cap >= reach, "cache.position_cap",
            std::to_string(cache.position_cap) + " is less than the " + std::to_string(reach) +
                " tokens of cache.slots + cache.block; use that or more");
  }

  void check_retention() const {
    const CacheConfig& cache = config_.cache;
    const bool tunes = trained(config_.tune.retention);
    const bool teaches = resolved_pass(config_) == PassKind::kTeach;
    require(cache.has_retention() || !tunes, "tune.retention",
            "only cache.policy retention has gates; remove it or set the policy");
    require(teaches || !tunes, "tune.retention",
            "gates learn in train.pass teach alone: a compression gives them no gradient");
    if (cache.has_retention()) {
      require(cache.sinks + cache.local < cache.slots, "cache.slots",
              std::to_string(cache.slots) + " leave nothing to choose beside " +
                  std::to_string(cache.sinks) + " sinks and " + std::to_string(cache.local) +
                  " newest tokens; use more slots or fewer of those");
      require(cache.scores == ScoreKind::kAccumulated, "cache.scores",
              "last_block forgets what attention said before; use accumulated with cache.policy "
              "retention");
    }
    if (teaches) check_teach();
  }

  void check_teach() const {
    const CacheConfig& cache = config_.cache;
    require(cache.has_retention(), "train.pass",
            "teach needs a cache that is chosen by gates; set cache.policy retention");
    require(cache.positions == PositionKind::kText, "cache.positions",
            "slot: train.pass teach sees tokens where they stand in the text; set text");
    require(cache.buffer == 0, "cache.buffer", "train.pass teach has none; set 0");
    require(
        !trained(config_.tune.all) && !trained(config_.tune.embed) && !trained(config_.tune.norm),
        "train.pass",
        "teach compares with the base's own full attention, which must not move; tune "
        "retention and lora alone");
    require(!config_.teach.slots.empty(), "teach.slots", "is empty; name a number of slots");
    for (const int64_t slots : config_.teach.slots) {
      const int64_t newest = taught_cache(cache, slots).local;
      require(cache.sinks + newest + 2 <= slots, "teach.slots",
              std::to_string(slots) + " slots leave nothing to choose beside " +
                  std::to_string(cache.sinks) + " sinks and " + std::to_string(newest) +
                  " newest tokens, the share of cache.local; use more slots");
    }
    const int64_t fewest =
        *std::min_element(config_.teach.slots.begin(), config_.teach.slots.end());
    require(fewest < config_.data.context_length, "data.context_length",
            std::to_string(config_.data.context_length) + " tokens fit into the " +
                std::to_string(fewest) +
                " slots of teach.slots, so that nothing is dropped and nothing is learned; use "
                "longer sequences or fewer slots");
    require(config_.teach.block < config_.data.context_length, "teach.block",
            "the " + std::to_string(config_.data.context_length) +
                " tokens of data.context_length are one block, so that nothing is dropped and "
                "nothing is learned; use longer sequences or shorter blocks");
    require(config_.teach.final_temperature <= config_.teach.temperature, "teach.final_temperature",
            "is above teach.temperature, but the choice must harden");
  }

  void check_scaling() const {
    if (takes_scaling(config_.cache)) return;
    const auto& scaling = config_.model.rope_scaling;
    const bool scales = scaling && scaling->type != RopeType::kDefault && scaling->factor != 1.0;
    const std::string what =
        "scaling does harm with cache.keys unrotated, whose positions stay within those that the "
        "base knows; remove it, or use cache.keys rotated";
    require(!scales, "model.rope_scaling", what);
    require(config_.model.interpolate_to == 0, "model.interpolate_to", what);
  }
};

}  // namespace

void check_cache_config(const Config& config, const ConfigOrigins& origins) {
  CacheChecker(config, origins).run();
}

}  // namespace lococo
