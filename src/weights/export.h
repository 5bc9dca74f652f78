// What lococo-export writes: conv weights alone, the adapter alone, or a merged Hugging Face model.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "model/llama.h"
#include "weights/companion_file.h"

namespace lococo {

/// Where an exported model came from.
struct ExportSource {
  std::string base_path;         ///< `model.path`; empty: random weights
  std::string base_fingerprint;  ///< written into the adapter and conv files
  std::string adapter;           ///< `model.adapter`: what was loaded into the model; may be empty
  std::vector<CompanionFile> companions = {};  ///< setup/companion_files.h
};

/// Throws UserError unless `config.output` is the name of a folder that can be made: to be told
/// before a large model is loaded.
void check_export_output(const ExportConfig& config);

/// Throws UserError where there is nothing of the kind to export, with the kind that there is, and
/// for cache options that the official code lacks (official_conv); as far as the options and the
/// files of `adapter` tell.
void check_export_kind(const ExportConfig& config, const CacheConfig& cache,
                       const std::string& adapter);

/// Creates `config.output` (to a temporary name, synced, renamed) with
///   conv           lococo_config.json + lococo.safetensors
///   official_conv  lococo_args.json (the official script's arguments) + lococo.safetensors
///   adapter        PEFT folder, beside it a config.json that carries the RoPE scaling, and the
///                  companions
///   merged         safetensors with LoRA, embedding and norms merged, the base's config.json with
///                  this model's RoPE scaling and dtype in it, and the companions
/// Logs a warning for what the target cannot express: gates and convolutions that a merged model or
/// a PEFT adapter drops, an unrotated cache that the weights need; and for a base whose companions
/// hold no tokenizer. Throws UserError when the output exists, when there is nothing of the kind to
/// export, and when the disk is full.
void export_model(const ExportConfig& config, const ExportSource& source, Llama& model);

}  // namespace lococo
