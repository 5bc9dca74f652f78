#include "core/config_schema.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace lococo {
namespace {

constexpr int64_t kMany = int64_t{1} << 31;        // slots, heads, tokens of a block, ...
constexpr int64_t kManyTokens = int64_t{1} << 50;  // tokens of a corpus, bytes
constexpr double kLargeNumber = 1e12;

/// Collects the fields of one section after another.
class Builder {
 public:
  void section(const std::string& name) { prefix_ = name + "."; }

  void add(const std::string& name, FieldValue value, const std::string& doc) {
    fields_.push_back({prefix_ + name, std::move(value), doc});
  }

  /// `names` in the order of the enumeration, whose first value is 0.
  template <typename Enum>
  void choice(const std::string& name, Enum* member, std::vector<std::string> names,
              const std::string& doc) {
    add(name,
        ChoiceField{std::move(names), [member] { return static_cast<size_t>(*member); },
                    [member](size_t index) { *member = static_cast<Enum>(index); }},
        doc);
  }

  void text_choice(const std::string& name, std::string* member, std::vector<std::string> names,
                   const std::string& doc) {
    const auto get = [member, names] {
      const auto found = std::find(names.begin(), names.end(), *member);
      if (found == names.end()) throw std::logic_error("config: no such choice: " + *member);
      return static_cast<size_t>(found - names.begin());
    };
    add(name, ChoiceField{names, get, [member, names](size_t index) { *member = names[index]; }},
        doc);
  }

  std::vector<Field> take() { return std::move(fields_); }

 private:
  std::string prefix_;
  std::vector<Field> fields_;
};

IntegerField count(int64_t* value, int64_t least, int64_t most = kMany) {
  return {value, least, most};
}

NumberField fraction(double* value) { return {value, 0.0, 1.0}; }

NumberField positive(double* value) { return {value, 0.0, kLargeNumber, true}; }

NumberField not_negative(double* value) { return {value, 0.0, kLargeNumber}; }

void add_model(Builder& add, ModelConfig& model) {
  add.section("model");
  add.add("path", TextField{&model.path},
          "Hugging Face folder (config.json and safetensors); empty: random weights of shape init");
  add.add("adapter", TextField{&model.adapter},
          "checkpoint or export folder of ours, or a PEFT adapter folder; empty: none");
  add.add("init_std", positive(&model.init_std),
          "standard deviation of random linear and embedding weights");
  add.choice("dtype", &model.dtype, {"float32", "bfloat16"},
             "of activations and frozen weights; trained weights keep a float32 master copy");
  add.add("rope_scaling",
          RopeField{[&model] { return model.rope_scaling; },
                    [&model](const auto& value) { model.rope_scaling = value; }},
          "replaces the checkpoint's: {type: default | linear | dynamic | yarn | llama3, factor, "
          "...}; null: the checkpoint's");
}

void add_init(Builder& add, ModelShape& shape) {
  add.section("model.init");
  add.add("vocab_size", count(&shape.vocab_size, 0), "rows of the embedding");
  add.add("hidden_size", count(&shape.hidden_size, 0), "width of the residual stream");
  add.add("intermediate_size", count(&shape.intermediate_size, 0),
          "width of the feed-forward layer");
  add.add("num_hidden_layers", count(&shape.num_layers, 0), "layers");
  add.add("num_attention_heads", count(&shape.num_heads, 0), "query heads of a layer");
  add.add("num_key_value_heads", count(&shape.num_kv_heads, 0),
          "key and value heads; 0: as many as query heads");
  add.add("head_dim", count(&shape.head_dim, 0), "0: hidden_size / num_attention_heads");
  add.add("max_position_embeddings", count(&shape.max_position_embeddings, 1),
          "context length, in tokens, that the model is made for");
  add.add("rms_norm_eps", positive(&shape.rms_norm_eps), "added to the mean square in RMSNorm");
  add.add("rope_theta", positive(&shape.rope_theta), "base of the rotary angles");
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

void add_data(Builder& add, DataConfig& data) {
  add.section("data");
  add.add("tokenizer", TextField{&data.tokenizer},
          "SentencePiece model; empty: tokenizer.model in model.path");
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
  add.add("context_length", count(&data.context_length, 2), "tokens of a training sequence");
  add.choice("sampling", &data.sampling, {"random_window", "packed"},
             "random_window: windows at random places of the joined documents; packed: every "
             "document once an epoch, joined and cut without a gap");
  add.add("min_document_tokens", count(&data.min_document_tokens, 0, kManyTokens),
          "shorter documents are left out, and their number is printed");
  add.add("add_bos", BoolField{&data.add_bos}, "begin every document with the BOS token");
  add.add("add_eos", BoolField{&data.add_eos}, "end every document with the EOS token");
}

void add_cache(Builder& add, CacheConfig& cache) {
  add.section("cache");
  add.choice("policy", &cache.policy, {"none", "streaming", "h2o", "lococo"},
             "none: keep everything; streaming: sinks and newest tokens; h2o: heavy hitters; "
             "lococo: heavy hitters and learned mixtures");
  add.add("slots", count(&cache.slots, 1), "slots of a layer's cache after a compression");
  add.add("block", count(&cache.block, 1), "tokens of one block");
  add.add("keep_fraction", fraction(&cache.keep_fraction),
          "share of the slots that keep tokens unchanged; int(slots * (1 - keep_fraction)) slots "
          "hold mixtures (lococo)");
  add.add("kernel_size", count(&cache.kernel_size, 1), "of the convolution, in tokens; odd");
  add.add("conv_layers", count(&cache.conv_layers, 1, 64), "convolutions in a row");
  add.add("expand", count(&cache.expand, 1, 1024),
          "hidden channels of a deeper convolution, as a multiple of the mixed slots");
  add.add("normalizer_init", fraction(&cache.normalizer_init),
          "initial share of the convolution in a mixed slot's weights");
  add.add("normalizer_per_head", BoolField{&cache.normalizer_per_head},
          "learn that share for each key-value head, not for the layer (lococo)");
  add.add("mass_channel", BoolField{&cache.mass_channel},
          "the convolution sees the tokens' scores beside keys and values; slower (lococo)");
  add.add("local", count(&cache.local, 0), "newest tokens that are always kept");
  add.add("sinks", count(&cache.sinks, 0), "first tokens that are always kept");
  add.add("buffer", count(&cache.buffer, 0), "compress only when the cache exceeds slots + buffer");
  add.choice("scores", &cache.scores, {"last_block", "accumulated"},
             "attention that makes a heavy hitter: of the last block, or summed over all blocks");
  add.add("score_decay", fraction(&cache.score_decay),
          "factor on the summed scores at each compression, so that old attention counts less "
          "(accumulated)");
  add.add("score_distance", count(&cache.score_distance, 0),
          "attention counts for a score when the query is at least so many slots behind; 0: all");
  add.choice("keys", &cache.keys, {"rotated", "unrotated"},
             "cache keys after RoPE (official), or before it: positions then never exceed slots + "
             "block");
  add.add("boundary_targets", BoolField{&cache.boundary_targets},
          "train the target of each block's last query too");
  add.add("first_block_gradient", BoolField{&cache.first_block_gradient},
          "let gradients reach the first block's keys and values");
  add.choice("init", &cache.init, {"normal", "fan_in", "identity"},
             "convolution at the start: normal (official); fan_in: scaled by its inputs; identity: "
             "fan_in with a normalizer of 0, which is h2o with the same slots");
  add.add("bptt_blocks", count(&cache.bptt_blocks, 1),
          "blocks of a window that gradients cross, compressions included; 1 (official): cut at "
          "every block");
  add.add(
      "distill", not_negative(&cache.distill),
      "weight of a loss against the base's own full attention on the same tokens, for tuning conv "
      "and normalizer alone; 0 (official): none");
}

void add_tune(Builder& add, TuneConfig& tune) {
  add.section("tune");
  add.add("conv", RateField{&tune.conv}, "convolution kernels (lococo)");
  add.add("normalizer", RateField{&tune.normalizer}, "normalizers (lococo); null: as conv");
  add.add("lora", RateField{&tune.lora}, "LoRA matrices");
  add.add("embed", RateField{&tune.embed}, "token embedding (and the tied output layer)");
  add.add("norm", RateField{&tune.norm}, "all RMSNorm weights");
  add.add("all", RateField{&tune.all}, "every weight of the base model");
  add.add("lora_rank", count(&tune.lora_rank, 1, 65536), "rank of the LoRA matrices");
  add.add("lora_alpha", positive(&tune.lora_alpha), "LoRA is scaled by lora_alpha / lora_rank");
  add.add("lora_targets", TextsField{&tune.lora_targets},
          "of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
}

void add_train(Builder& add, TrainConfig& train) {
  add.section("train");
  add.add("steps", count(&train.steps, 1), "optimizer steps of the whole run");
  add.add("sequences_per_step", count(&train.sequences_per_step, 1), "over all ranks");
  add.add("micro_batch", count(&train.micro_batch, 1), "sequences of one forward pass on one rank");
  add.add("seed", SeedField{&train.seed}, "of the initial weights and of the order of the data");
  add.add("output", TextField{&train.output},
          "folder of checkpoints, metrics and the effective config");
  add.add("resume", ResumeField{&train},
          "auto: the newest good checkpoint in output, if any; never; or a checkpoint folder");
  add.choice("pass", &train.pass, {"auto", "blockwise", "full_sequence"},
             "auto: blockwise with a cache policy, else full_sequence");
  add.add("beta1", NumberField{&train.beta1, 0.0, 0.999999}, "AdamW's decay of the mean");
  add.add("beta2", NumberField{&train.beta2, 0.0, 0.999999999}, "AdamW's decay of the square");
  add.add("epsilon", positive(&train.epsilon), "AdamW's epsilon");
  add.add("weight_decay", not_negative(&train.weight_decay),
          "not applied to biases, norms and normalizers");
  add.add("clip", not_negative(&train.clip), "largest gradient norm; 0: no clipping");
  add.add("warmup_steps", count(&train.warmup_steps, 0), "steps of linear warm-up");
  add.choice("decay", &train.decay, {"constant", "linear", "cosine"},
             "shape of the learning rate after the warm-up");
  add.add("final_lr_fraction", fraction(&train.final_lr_fraction),
          "learning rate at the last step, as a share of the peak");
  add.add("activation_checkpointing", BoolField{&train.activation_checkpointing},
          "full_sequence: recompute each layer in the backward pass, to save memory");
  add.add("loss_chunk", count(&train.loss_chunk, 1), "tokens whose logits exist at one time");
  add.add("cuda_graphs", BoolField{&train.cuda_graphs},
          "blockwise on a GPU: record each kind of block once and replay it (lococo-eval too)");
}

void add_run(Builder& add, Config& config) {
  add.section("checkpoint");
  add.add("every", count(&config.checkpoint.every, 0),
          "steps between checkpoints; 0: only at the end and on signals");
  add.add("keep_last", count(&config.checkpoint.keep_last, 1),
          "older checkpoints are removed after a new one is complete");
  add.section("log");
  add.text_choice("level", &config.log.level, {"trace", "debug", "info", "warn", "error"},
                  "least important messages that are printed");
  add.add("every", count(&config.log.every, 1), "steps between progress lines");
  add.add("tensorboard", BoolField{&config.log.tensorboard},
          "write TensorBoard events beside metrics.jsonl");
  add.section("distributed");
  add.choice("backend", &config.distributed.backend, {"auto", "single", "mpi", "nccl"},
             "auto: single without mpirun; NCCL on GPUs, MPI on CPUs");
  add.add("device", TextField{&config.distributed.device},
          "auto, cpu, cuda (the GPU of the local rank) or cuda:N");
  add.add("threads", count(&config.distributed.threads, 0, 65536),
          "CPU threads of one rank; 0: cores / local ranks");
}

void add_eval(Builder& add, EvalConfig& eval) {
  add.section("eval");
  add.add("lengths", IntegersField{&eval.lengths, 2, kMany}, "tokens of a segment; one or a list");
  add.add("max_tokens", count(&eval.max_tokens, 1, kManyTokens),
          "of one length: the first max_tokens / length segments");
  add.add("stride", count(&eval.stride, 0), "tokens between segment starts; 0: the length");
  add.add("segments_per_document", count(&eval.segments_per_document, 0), "at most; 0: all");
  add.add("far", count(&eval.far, 1),
          "a repeat is far when its latest earlier occurrence is more tokens back");
  add.add("output", TextField{&eval.output}, "JSON file; empty: print only");
  add.add("per_segment", BoolField{&eval.per_segment}, "write every segment's figures too");
  add.add("position_buckets", count(&eval.position_buckets, 0),
          "equal parts of a segment whose mean NLL is reported one by one; 0: none");
  add.add("batch", count(&eval.batch, 1), "segments of one forward pass");
  add.add("every", count(&eval.every, 0),
          "lococo-train: steps between evaluations on data.validation; 0: never");
}

void add_export(Builder& add, Config& config) {
  add.section("export");
  add.choice("kind", &config.export_.kind, {"conv", "official_conv", "adapter", "merged"},
             "conv: the convolutions; official_conv: with the official code's names; adapter: a "
             "PEFT folder; merged: a Hugging Face model");
  add.add("output", TextField{&config.export_.output},
          "folder to create; an existing one is refused");
  add.choice("dtype", &config.export_.dtype, {"float32", "bfloat16"},
             "of a merged model's weights");
  add.add("max_shard_bytes", count(&config.export_.max_shard_bytes, 1, kManyTokens),
          "largest safetensors file of a merged model, in bytes");
}

void add_generate(Builder& add, GenerateConfig& generate) {
  add.section("generate");
  add.add("prompt", TextField{&generate.prompt}, "text to continue");
  add.add("prompt_file", TextField{&generate.prompt_file}, "or a text file that holds it");
  add.add("max_new_tokens", count(&generate.max_new_tokens, 1), "tokens of the answer, at most");
  add.add("temperature", not_negative(&generate.temperature),
          "of the softmax that tokens are drawn from; 0: always the most probable token");
  add.add("top_p", NumberField{&generate.top_p, 0.0, 1.0, true},
          "draw from the fewest most probable tokens that have this probability together");
  add.add("seed", SeedField{&generate.seed}, "of the draws");
  add.add("decode_buffer", count(&generate.decode_buffer, 0),
          "compress while generating when the cache exceeds slots + decode_buffer");
  add.add("stop_at_eos", BoolField{&generate.stop_at_eos},
          "end with the tokenizer's end-of-text token");
}

void add_bench(Builder& add, BenchConfig& bench) {
  add.section("bench");
  add.add("warmup", count(&bench.warmup, 0), "iterations before the timed ones");
  add.add("repeat", count(&bench.repeat, 1), "timed iterations");
  add.add("batch", IntegersField{&bench.batch, 1, kMany},
          "sequences at a time, one measurement each; one or a list");
  add.add("contexts", IntegersField{&bench.contexts, 2, kMany},
          "tokens (memory, attention, prefill, decode); one or a list");
  add.add("new_tokens", count(&bench.new_tokens, 1), "decode: tokens that are generated");
  add.add("limit", BoolField{&bench.limit},
          "train-step: measure in the same run what library calls alone would take");
  add.add("output", TextField{&bench.output}, "JSON file; empty: print only");
  add.add("trace", TextField{&bench.trace},
          "Chrome trace file of one more iteration, whose kernels are listed too; empty: none");
}

}  // namespace

std::vector<Field> config_fields(Config& config) {
  Builder add;
  add_model(add, config.model);
  add_init(add, config.model.init);
  add_data(add, config.data);
  add.section("attention");
  add.choice("backend", &config.attention.backend, {"auto", "reference", "flash", "cudnn"},
             "auto: the fastest one that can do the work; reference: slow and plain");
  add_cache(add, config.cache);
  add_tune(add, config.tune);
  add_train(add, config.train);
  add_run(add, config);
  add_eval(add, config.eval);
  add_export(add, config);
  add_generate(add, config.generate);
  add_bench(add, config.bench);
  return add.take();
}

std::string section_doc(const std::string& section) {
  static const std::vector<std::pair<std::string, std::string>> kDocs = {
      {"model", "the base model"},
      {"model.init",
       "shape of a model with random weights, used when model.path is empty (names as in Hugging "
       "Face's config.json)"},
      {"data", "what to train and evaluate on"},
      {"attention", "how attention is computed"},
      {"cache",
       "what survives from one block of tokens to the next; the defaults are the official LoCoCo "
       "code's behaviour"},
      {"tune",
       "learning rate of each group of weights; null or 0: not trained, every other weight stays "
       "bit-identical"},
      {"train", "lococo-train"},
      {"checkpoint", "checkpoints of lococo-train"},
      {"log", "messages and metrics"},
      {"distributed", "ranks and devices"},
      {"eval", "lococo-eval"},
      {"export", "lococo-export"},
      {"generate", "lococo-generate"},
      {"bench", "lococo-bench"},
  };
  for (const auto& [name, doc] : kDocs) {
    if (name == section) return doc;
  }
  throw std::logic_error("config: section " + section + " has no description");
}

}  // namespace lococo
