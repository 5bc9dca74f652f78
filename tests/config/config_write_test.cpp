#include "config/config_write.h"

#include <set>
#include <string>

#include "config/config_yaml.h"
#include "core/files.h"
#include "tests/support/catch.h"

using namespace lococo;

namespace {

/// A value other than the default for every key.
const char* const kEverything = R"(
model:
  path: /models/base
  adapter: runs/a
  init: {vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
         num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, max_position_embeddings: 128,
         rms_norm_eps: 1e-6, rope_theta: 500000, tie_word_embeddings: true,
         rope_scaling: {type: llama3, factor: 8, low_freq_factor: 1.5, high_freq_factor: 5,
                        original_max_position_embeddings: 64}}
  init_std: 0.01
  dtype: bfloat16
  base_precision: nf4
  rope_scaling: {type: yarn, factor: 4.0, beta_fast: 16, beta_slow: 2, attention_factor: 1.1}
data:
  tokenizer: "a b.model"
  train: [x.txt, {path: "y: z.jsonl", weight: 0.25}]
  validation: v.txt
  cache_dir: tokens
  raw_dtype: uint16
  text_field: content
  context_length: 32768
  sampling: packed
  min_document_tokens: 100
  add_bos: false
  add_eos: false
  lesson_texts: [novels, more.txt]
  validation_records: [{path: r.jsonl, weight: 2}]
  template: longlora
  on_too_long: split
  packing: true
  group_by_length: true
  lesson_length: 64
  far: 512
attention: {backend: flash, group_tokens: 64, shift_fraction: 0.75, sinks: 2}
cache: {policy: lococo, slots: 128, block: 256, keep_fraction: 0.75, kernel_size: 9, conv_layers: 2,
        expand: 3, normalizer_init: 0.25, normalizer_per_head: true, mass_channel: true,
        normalizer_range: unit,
        mix_keys: false, local: 64, sinks: 4, buffer: 0, scores: accumulated, score_decay: 0.75,
        score_distance: 16, keys: rotated, boundary_targets: true, first_block_gradient: true,
        init: fan_in, bptt_blocks: 3,
        retention_units: 64, alone_fraction: 0.25}
teach: {slots: [64, 96], block: 32, temperature: 0.4, final_temperature: 0.1, far_weight: 3,
        answer_weight: 0.5, answer_truth: 0.75}
tune: {conv: 1e-3, normalizer: 2e-3, lora: 3e-4, embed: 1e-5, norm: 5e-5, all: 0,
       lora_rank: 4, lora_alpha: 32, lora_targets: [q_proj, down_proj]}
train: {steps: 20, sequences_per_step: 32, micro_batch: 2, seed: 18446744073709551615, output: out,
        resume: out/step-10, resume_changed: accept, deterministic: true, pass: blockwise, beta1: 0.8, beta2: 0.95, epsilon: 1e-6,
        weight_decay: 0.1, clip: 0, warmup_steps: 5, decay: cosine, final_lr_fraction: 0.1,
        activation_checkpointing: true, recompute_attention: true, loss_chunk: 512, cuda_graphs: false}
checkpoint: {every: 10, keep_last: 3}
log: {level: debug, every: 10, tensorboard: false}
distributed: {backend: mpi, device: "cuda:1", threads: 4, shard_optimizer: true, timeout_s: 60}
eval: {lengths: [1024, 2048], max_tokens: 100000, stride: 512, segments_per_document: 4, far: 512,
       output: e.json, per_segment: true, position_buckets: 8, batch: 4, every: 5,
       overwrite: true, after_training: false, per_token: nll.bin, task: needle, trials: 7, seed: 9,
       kinds: [words], depths: [10, 90], hay: filler, split: train, distance: 5, distractors: 3,
       questions: q.jsonl, answerer: oracle, samples: s.jsonl}
export: {kind: adapter, output: "line\nwith \"quotes\" and \\", dtype: bfloat16, max_shard_bytes: 1000}
generate: {prompt: "a: b", prompt_file: p.txt, prompt_ids: "1 2", output: ids, max_new_tokens: 9, temperature: 0.7, top_p: 0.9,
           seed: 7, decode_buffer: 32, stop_at_eos: false, top_k: 5, repetition_penalty: 1.1, stop: ["\n\n"],
           chat: true, chat_template: chatml, system: "Be brief.", document: d.txt, question: "Who?"}
bench: {warmup: 0, repeat: 7, batch: [1, 4], contexts: [8, 16], layouts: [4x1, 2x2], new_tokens: 3, limit: false,
        output: b.json, trace: t.json, overwrite: true}
x-mine: {anything: [1, 2]}
)";

std::string line_of(const std::string& yaml, const std::string& key) {
  const size_t begin = yaml.find("  " + key + ":");
  REQUIRE(begin != std::string::npos);
  return yaml.substr(begin, yaml.find('\n', begin) - begin);
}

}  // namespace

TEST_CASE("every key can be read and is written as it was read", "[config]") {
  const Config config = parse_config(kEverything, "x.yaml");
  CHECK(config.model.init.num_kv_heads == 2);
  CHECK(config.model.init.rope_scaling.type == RopeType::kLlama3);
  REQUIRE(config.model.rope_scaling.has_value());
  CHECK(config.model.rope_scaling->beta_fast == 16.0);
  REQUIRE(config.data.train.size() == 2);
  CHECK(config.data.train[0].path == "x.txt");
  CHECK(config.data.train[0].weight == 1.0);
  CHECK(config.data.train[1].path == "y: z.jsonl");
  CHECK(config.data.train[1].weight == 0.25);
  REQUIRE(config.data.validation.size() == 1);
  CHECK(config.cache.policy == CachePolicyKind::kLococo);
  CHECK(config.cache.scores == ScoreKind::kAccumulated);
  CHECK(config.tune.conv == 1e-3);
  CHECK(config.tune.lora_targets == std::vector<std::string>{"q_proj", "down_proj"});
  CHECK(config.train.seed == UINT64_MAX);
  CHECK(config.train.resume == Resume::kPath);
  CHECK(config.train.resume_path == "out/step-10");
  CHECK(config.eval.lengths == std::vector<int64_t>{1024, 2048});
  CHECK(config.export_.output == "line\nwith \"quotes\" and \\");

  const std::string written = config_to_yaml(config);
  CHECK(config_to_yaml(parse_config(written, "y.yaml")) == written);
}

TEST_CASE("the test of every key gives every key another value", "[config]") {
  const std::string changed = config_to_yaml(parse_config(kEverything, "x.yaml"));
  const std::string defaults = config_to_yaml(Config{});
  // The two documents have the same keys in the same order, so they can be walked line by line.
  const std::set<std::string> same = {
      "keys: rotated",        "distill: 0.0",      "lesson_share: 0.0", "positions: slot",
      "position_cap: 0",      "retention: null",   "pattern: full",     "windows: stride",
      "group_fraction: null", "interpolate_to: 0", "records: []",       "mixing: none",
      "pipeline: 1",          "stage_layers: []"};
  size_t a = 0, b = 0;
  while (a < changed.size() && b < defaults.size()) {
    const std::string one = changed.substr(a, changed.find('\n', a) - a);
    const std::string two = defaults.substr(b, defaults.find('\n', b) - b);
    a += one.size() + 1;
    b += two.size() + 1;
    const bool is_section = two.back() == ':';
    INFO(one);
    const std::string content = two.substr(two.find_first_not_of(' '));
    if (is_section || same.count(content) == 1) {
      CHECK(one == two);
    } else {
      CHECK(one != two);
      CHECK(one.substr(0, one.find(':')) == two.substr(0, two.find(':')));
    }
  }
  CHECK(a >= changed.size());
  CHECK(b >= defaults.size());
}

TEST_CASE("configs/reference.yaml is the reference that the schema gives", "[config]") {
  const std::string path = std::string(LOCOCO_SOURCE_DIR) + "/configs/reference.yaml";
  INFO("renew it with: lococo-train --reference > configs/reference.yaml");
  CHECK(read_text_file(path) == reference_config());
  CHECK(config_to_yaml(load_config(path, {})) == config_to_yaml(Config{}));
}

TEST_CASE("the reference names every key of the schema", "[config]") {
  const std::string reference = reference_config();
  std::set<std::string> seen;
  for (const std::string& key : config_keys()) {
    CHECK(seen.insert(key).second);
    line_of(reference, key.substr(key.rfind('.') + 1));
  }
  CHECK(seen.count("cache.slots") == 1);
  CHECK(seen.count("model.init.vocab_size") == 1);
  CHECK(seen.size() > 100);
}
