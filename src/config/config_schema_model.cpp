#include "config/config_schema_model.h"

#include "core/model_limits.h"
#include "core/projections.h"

namespace lococo {
namespace {

void add_model(SchemaBuilder& add, ModelConfig& model) {
  add.section("model");
  add.add("path", TextField{&model.path},
          "Hugging Face folder (config.json and safetensors); empty: random weights of shape init");
  add.add("adapter", TextField{&model.adapter},
          "checkpoint or export folder of ours, or a PEFT adapter folder; empty: none");
  add.add("init_std", positive(&model.init_std),
          "standard deviation of random linear and embedding weights");
  add.choice("dtype", &model.dtype, {"float32", "bfloat16"},
             "of activations and frozen weights; trained weights keep a float32 master copy");
  add.choice("base_precision", &model.base_precision, {"auto", "fp8", "nf4"},
             "of the layers' frozen projections; auto: as dtype; fp8: 8 bits, in which they are "
             "multiplied too; nf4: QLoRA's 4 bits; embedding, output layer and norms as dtype");
  add.add("rope_scaling",
          RopeField{[&model] { return model.rope_scaling; },
                    [&model](const auto& value) { model.rope_scaling = value; }},
          "replaces the checkpoint's: {type: default | linear | dynamic | yarn | llama3, factor, "
          "...}; null: the checkpoint's");
  add.add(
      "interpolate_to", count(&model.interpolate_to, 0, kMostContext),
      "tokens that linear interpolation of positions makes room for: a factor of interpolate_to "
      "/ positions, rounded up, on top of a linear one that the checkpoint has; 0: none");
}

void add_init(SchemaBuilder& add, ModelShape& shape) {
  add.section("model.init");
  add.add("vocab_size", count(&shape.vocab_size, 0, kMostVocab), "rows of the embedding");
  add.add("hidden_size", count(&shape.hidden_size, 0, kMostWidth), "width of the residual stream");
  add.add("intermediate_size", count(&shape.intermediate_size, 0, kMostWidth),
          "width of the feed-forward layer");
  add.add("num_hidden_layers", count(&shape.num_layers, 0, kMostLayers), "layers");
  add.add("num_attention_heads", count(&shape.num_heads, 0, kMostHeads), "query heads of a layer");
  add.add("num_key_value_heads", count(&shape.num_kv_heads, 0, kMostHeads),
          "key and value heads; 0: as many as query heads");
  add.add("head_dim", count(&shape.head_dim, 0, kMostHeadDim),
          "0: hidden_size / num_attention_heads");
  add.add("max_position_embeddings", count(&shape.max_position_embeddings, 1, kMostPositions),
          "context length, in tokens, that the model is made for");
  add.add("rms_norm_eps", NumberField{&shape.rms_norm_eps, 0.0, 1.0, true},
          "added to the mean square in RMSNorm");
  add.add("rope_theta", NumberField{&shape.rope_theta, 1.0, kMostRopeTheta},
          "base of the rotary angles");
  add.add("rope_scaling",
          RopeField{
              [&shape]() -> std::optional<RopeScaling> {
                if (shape.rope_scaling.type == RopeType::kDefault) return std::nullopt;
                return shape.rope_scaling;
              },
              [&shape](const auto& value) { shape.rope_scaling = value.value_or(RopeScaling{}); }},
          "as model.rope_scaling, but written into the model; null: none");
  add.add("tie_word_embeddings", BoolField{&shape.tie_word_embeddings},
          "use the embedding as the output layer");
}

void add_records(SchemaBuilder& add, DataConfig& data) {
  add.add("records", SourcesField{&data.records},
          "path, list of paths, or list of {path, weight}: JSON or JSONL of {instruction, input, "
          "output} or {messages}, to train on the answers alone in place of train (docs/sft.md)");
  add.add("validation_records", SourcesField{&data.validation_records},
          "the same for evaluation: NLL of the answers");
  add.choice("template", &data.record_template,
             {"auto", "plain", "llama-2", "llama-3", "chatml", "longlora"},
             "form of records; auto: the model's own, plain where it has none");
  add.choice("on_too_long", &data.on_too_long, {"error", "drop", "truncate_prompt", "split"},
             "records longer than context_length + 1 tokens: refused, left out, without the "
             "beginning of what was asked about, or one record for each part of it");
  add.add("packing", BoolField{&data.packing},
          "several records in one sequence, none of which sees another; blockwise each begins with "
          "an empty cache");
  add.add("group_by_length", BoolField{&data.group_by_length},
          "records of like length in one micro-batch, so that less of it is padding");
}

void add_data(SchemaBuilder& add, DataConfig& data) {
  add.section("data");
  add.add("tokenizer", TextField{&data.tokenizer},
          "SentencePiece model or tokenizer.json; empty: that in model.path");
  add.add(
      "train", SourcesField{&data.train},
      "path, list of paths, or list of {path, weight}: text, JSONL (also .zst), folders of them, "
      "token files, raw tokens (.bin)");
  add.add("validation", SourcesField{&data.validation}, "the same for evaluation");
  add.add("cache_dir", TextField{&data.cache_dir},
          "where lococo-prepare puts token files; empty: beside the source");
  add.choice("raw_dtype", &data.raw_dtype, {"none", "uint16", "uint32"},
             "element type of raw token files (.bin)");
  add.add("text_field", TextField{&data.text_field}, "key of a JSONL record that holds the text");
  add.add("context_length", count(&data.context_length, 2, kMostContext),
          "tokens of a training sequence");
  add.choice("sampling", &data.sampling, {"random_window", "packed"},
             "random_window: windows at random places of the joined documents; packed: every "
             "document once an epoch, joined and cut without a gap");
  add.add("min_document_tokens", count(&data.min_document_tokens, 0, kManyTokens),
          "shorter documents of data.train are left out, and their number is printed");
  add.add("add_bos", BoolField{&data.add_bos},
          "begin every document with the BOS token, where the tokenizer has one");
  add.add("add_eos", BoolField{&data.add_eos}, "end every document with the EOS token");
  add.add("lesson_share", fraction(&data.lesson_share),
          "share of the sequences that are lessons: a text with facts in it, and questions about "
          "them");
  add.add("lesson_length", count(&data.lesson_length, 0, kMostContext),
          "tokens of a lesson, where fewer than context_length do; 0: as many");
  add.add("lesson_texts", TextsField{&data.lesson_texts},
          "text, JSONL, folders of them: what surrounds the facts of lessons, held in memory; "
          "empty: that of train");
  add.add("far", count(&data.far, 1),
          "where targets have kinds: a repeat is far when its latest earlier occurrence is more "
          "tokens back");
  add_records(add, data);
}

void add_attention(SchemaBuilder& add, AttentionConfig& attention) {
  add.section("attention");
  add.choice("backend", &attention.backend, {"auto", "reference", "flash", "cudnn"},
             "auto: the fastest one that can do the work; reference: slow and plain");
  add.choice(
      "pattern", &attention.pattern, {"full", "s2", "sf"},
      "what training sees of a sequence: all before a token; s2: segments, half of the heads "
      "shifted (LongLoRA); sf: these and sinks (SinkLoRA)");
  add.add("group_tokens", OptionalIntegerField{&attention.group_tokens, 1, kMostContext},
          "tokens of a segment; null: as group_fraction says");
  add.add("group_fraction", OptionalNumberField{&attention.group_fraction, 0.0, 1.0},
          "tokens of a segment as a share of data.context_length; null: as group_tokens says, else "
          "0.25");
  add.add("shift_fraction", OptionalNumberField{&attention.shift_fraction, 0.0, 1.0},
          "share of the upper half of the heads that is shifted; null: 1 with s2, 0.5 with sf");
  add.add("sinks", OptionalIntegerField{&attention.sinks, 0, kManyHeld},
          "first tokens that all later ones see; null: 0 with s2, 4 with sf");
}

void add_mixtures(SchemaBuilder& add, CacheConfig& cache) {
  add.add("kernel_size", count(&cache.kernel_size, 1, 65536), "of the convolution, in tokens; odd");
  add.add("conv_layers", count(&cache.conv_layers, 1, 64), "convolutions in a row");
  add.add("expand", count(&cache.expand, 1, 1024),
          "hidden channels of a deeper convolution, as a multiple of the mixed slots");
  add.add("normalizer_init", fraction(&cache.normalizer_init),
          "initial share of the convolution in a mixed slot's weights");
  add.add("normalizer_per_head", BoolField{&cache.normalizer_per_head},
          "learn that share for each key-value head, not for the layer (lococo)");
  add.choice("normalizer_range", &cache.normalizer_range, {"unbounded", "unit"},
             "what training may make of that share: any number (official), or one in [0, 1], where "
             "it is put after each step (lococo)");
  add.add("mass_channel", BoolField{&cache.mass_channel},
          "the convolution sees the tokens' scores beside keys and values; slower (lococo)");
  add.add("mix_keys", BoolField{&cache.mix_keys},
          "mix keys as values are (official); false: a mixed slot keeps its own token's key, under "
          "which queries still find it (lococo)");
}

void add_scores(SchemaBuilder& add, CacheConfig& cache) {
  add.choice("scores", &cache.scores, {"last_block", "accumulated"},
             "attention that makes a heavy hitter: of the last block, or summed over all blocks");
  add.add("score_decay", fraction(&cache.score_decay),
          "factor on the summed scores for each block of new tokens, so that old attention counts "
          "less (accumulated)");
  add.add("score_distance", count(&cache.score_distance, 0, kManyHeld),
          "attention counts for a score when the query is at least so many slots behind; 0: all");
}

void add_positions(SchemaBuilder& add, CacheConfig& cache) {
  add.choice("keys", &cache.keys, {"rotated", "unrotated"},
             "cache keys after RoPE (official), or before it: positions then never exceed slots + "
             "block");
  add.choice("positions", &cache.positions, {"slot", "text"},
             "where cached tokens stand for RoPE (keys unrotated): at their slots, or where they "
             "stood in the text");
  add.add("position_cap", count(&cache.position_cap, 0, kManyTokens),
          "positions text: the furthest that a cached token may be from a block, in tokens; 0: "
          "what the base's positions leave");
}

void add_retention(SchemaBuilder& add, CacheConfig& cache) {
  add.add("retention_units", count(&cache.retention_units, 1, kMostWidth),
          "hidden units of a layer's gate (retention)");
  add.add("alone_fraction", fraction(&cache.alone_fraction),
          "share of the slots between sinks and newest tokens that the gate fills alone; the rest "
          "by gate and attention (retention)");
  add.choice("mixing", &cache.mixing, {"none", "conv", "similarity"},
             "what becomes of a token that is dropped: nothing, or its value goes into the slots "
             "that gate "
             "and attention chose, by a convolution or by the likeness of keys (retention)");
}

void add_cache_training(SchemaBuilder& add, CacheConfig& cache) {
  add.add("boundary_targets", BoolField{&cache.boundary_targets},
          "train the target of each block's last query too");
  add.add("first_block_gradient", BoolField{&cache.first_block_gradient},
          "let gradients reach the first block's keys and values");
  add.choice("init", &cache.init, {"normal", "fan_in", "identity"},
             "convolution at the start: normal (official); fan_in: scaled by its inputs; identity: "
             "fan_in with a normalizer of 0, which is h2o with the same slots");
  add.add("bptt_blocks", count(&cache.bptt_blocks, 1, kManyHeld),
          "blocks of a window that gradients cross, compressions included; 1 (official): cut at "
          "every block");
  add.add(
      "distill", not_negative(&cache.distill),
      "weight of a loss against the base's own full attention on the same tokens, for tuning conv "
      "and normalizer alone; 0 (official): none");
}

// The keys stand in the order of configs/reference.yaml.
void add_cache(SchemaBuilder& add, CacheConfig& cache) {
  add.section("cache");
  add.choice(
      "policy", &cache.policy, {"none", "streaming", "h2o", "lococo", "retention"},
      "none: keep everything; streaming: sinks and newest tokens; h2o: heavy hitters; "
      "lococo: heavy hitters and learned mixtures; retention: what a taught gate says is worth "
      "keeping");
  add.add("slots", count(&cache.slots, 1, kManyHeld),
          "slots of a layer's cache after a compression");
  add.add("block", count(&cache.block, 1, kManyHeld), "tokens of one block");
  add.add("keep_fraction", fraction(&cache.keep_fraction),
          "share of the slots that keep tokens unchanged; int(slots * (1 - keep_fraction)) slots "
          "hold mixtures (lococo)");
  add_mixtures(add, cache);
  add.add("local", count(&cache.local, 0, kManyHeld), "newest tokens that are always kept");
  add.add("sinks", count(&cache.sinks, 0, kManyHeld), "first tokens that are always kept");
  add.add("buffer", count(&cache.buffer, 0, kManyHeld),
          "compress only when the cache exceeds slots + buffer");
  add_scores(add, cache);
  add_positions(add, cache);
  add_retention(add, cache);
  add_cache_training(add, cache);
}

void add_tune(SchemaBuilder& add, TuneConfig& tune) {
  add.section("tune");
  add.add("conv", RateField{&tune.conv}, "convolution kernels (lococo)");
  add.add("normalizer", RateField{&tune.normalizer}, "normalizers (lococo); null: as conv");
  add.add("retention", RateField{&tune.retention}, "gates of learned retention");
  add.add("lora", RateField{&tune.lora}, "LoRA matrices");
  add.add("embed", RateField{&tune.embed}, "token embedding (and the tied output layer)");
  add.add("norm", RateField{&tune.norm}, "all RMSNorm weights");
  add.add("all", RateField{&tune.all}, "every weight of the base model");
  add.add("lora_rank", count(&tune.lora_rank, 1, kMostLoraRank), "rank of the LoRA matrices");
  add.add("lora_alpha", NumberField{&tune.lora_alpha, 0.0, kMostLoraAlpha, true},
          "LoRA is scaled by lora_alpha / lora_rank");
  add.add("lora_targets", TextsField{&tune.lora_targets}, "of " + projections_text());
}

}  // namespace

void add_model_sections(SchemaBuilder& add, Config& config) {
  add_model(add, config.model);
  add_init(add, config.model.init);
  add_data(add, config.data);
  add_attention(add, config.attention);
  add_cache(add, config.cache);
  add_tune(add, config.tune);
}

}  // namespace lococo
