// What the files that a config names decide about the config itself.
#pragma once

#include "config/config.h"
#include "config/config_read.h"

namespace lococo {

/// Between reading a config and checking it (config/config_yaml.h). Of model.adapter, one log line
/// each where something changes:
///   a run folder (that holds step-*) becomes its newest good checkpoint;
///   cache.* keys that were not given are taken from the options it was tuned with; convolutions
///   without such options mean cache.policy lococo;
///   model.interpolate_to and model.rope_scaling, where neither was given, are the checkpoint's
///   (but for caches of unrotated keys, whose positions stay within the base's: a warning);
///   tune.lora_rank, lora_alpha and lora_targets that were not given are those of its LoRA, where
///   tune.lora trains it.
/// Under a launcher only the first process logs. Throws UserError for files that cannot be read.
void complete_config(Config* config, ConfigOrigins* origins);

/// The same for tools that train nothing: a training's config serves to read what it has made, also
/// with a cache that it could not be taught for (another policy, cache.mixing). So gates are not to
/// be taught, and train.pass teach is auto.
void complete_config_for_reading(Config* config, ConfigOrigins* origins);

}  // namespace lococo
