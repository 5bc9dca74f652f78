// Gates and convolutions alone: lococo_config.json and lococo.safetensors. The names are the
// official code's (model.layers.N.self_attn.memory_saver.layers.K.weight, ...bias, ...normalizer).
#pragma once

#include <optional>
#include <string>

#include "config/cache_config.h"
#include "model/llama.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo {

/// The parameters of the cache policies. Handles to the model's tensors; empty for policies that do
/// not learn.
TensorMap conv_parameters(Llama& model);

/// Whose option names the JSON file beside the weights uses.
enum class ConvConfigNames {
  kOurs,      ///< lococo_config.json: `cache:` options as in our YAML
  kOfficial,  ///< lococo_args.json: arguments of the official training script
};

/// Writes the policies' parameters, of which the model has some, and the options they were trained
/// with. DIR must exist. Throws UserError when DIR cannot be written, and for kOfficial when an
/// option is set that the official code does not know.
void save_conv_weights(Llama& model, const std::string& dir, const std::string& base_fingerprint,
                       ConvConfigNames names = ConvConfigNames::kOurs);

/// Cache options in our names, and the file that they stand in.
struct StoredCacheOptions {
  std::string json;
  std::string path;
};

/// What DIR's lococo_config.json or lococo_args.json says; nullopt when it holds neither. Throws
/// UserError for a file that cannot be read.
std::optional<StoredCacheOptions> read_cache_options(const std::string& dir);

/// "convolutions", "gates" or "gates and convolutions", as messages call them: what a cache learns,
/// and what DIR/lococo.safetensors holds. The latter throws UserError for a file without any.
std::string learned_parts(const CacheConfig& cache);
std::string learned_parts_in(const std::string& dir);

/// Whether DIR holds a lococo.safetensors.
bool has_conv_weights(const std::string& dir);

/// Whether DIR holds gates alone, and `cache` mixes by convolutions, which then begin anew.
bool begins_mixing_from(const std::string& dir, const CacheConfig& cache);

/// Loads DIR/lococo.safetensors into the model's policies, which learn something. Names may carry
/// the prefixes `module.` and `base_model.model.` and, in a folder without a lococo_config.json,
/// may stand among tensors of the base, which are left out with one log line. Throws one UserError
/// that names the option that differs from the model's `cache:` options, or the tensors that are
/// missing, unknown or misshapen, or hold values that are not finite. A different block or buffer
/// is only warned about. A part of a model reads its own tensors alone.
void load_conv_weights(Llama& model, const std::string& dir);

/// Throws as load_conv_weights() does for a model with these parameters (conv_parameters(), on any
/// device) and cache options; reads no weights.
void check_conv_weights(const TensorMap& parameters, const CacheConfig& cache,
                        const std::string& dir);

/// The fingerprint that the file carries; empty when it carries none.
std::string base_fingerprint_of_conv(const std::string& dir);

}  // namespace lococo
