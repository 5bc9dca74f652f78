#include "config/config.h"

#include <set>
#include <string>

#include "config/config_write.h"
#include "config/config_yaml.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::CacheConfig;
using lococo::CachePolicyKind;
using lococo::Config;
using lococo::parse_config;
using lococo::Resume;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;

namespace {

using Overrides = std::vector<std::string>;

std::string error_of(const std::string& yaml, const Overrides& overrides = {}) {
  return user_error_of([&] { parse_config(yaml, "x.yaml", overrides); });
}

Config with(const Overrides& overrides) { return parse_config("", "x.yaml", overrides); }

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
        activation_checkpointing: true, loss_chunk: 512, cuda_graphs: false}
checkpoint: {every: 10, keep_last: 3}
log: {level: debug, every: 10, tensorboard: false}
distributed: {backend: mpi, device: "cuda:1", threads: 4, shard_optimizer: true}
eval: {lengths: [1024, 2048], max_tokens: 100000, stride: 512, segments_per_document: 4, far: 512,
       output: e.json, per_segment: true, position_buckets: 8, batch: 4, every: 5,
       overwrite: true, after_training: false, per_token: nll.bin, task: needle, trials: 7, seed: 9,
       kinds: [words], depths: [10, 90], hay: filler, split: train, distance: 5, distractors: 3,
       questions: q.jsonl, answerer: oracle, samples: s.jsonl}
export: {kind: adapter, output: "line\nwith \"quotes\" and \\", dtype: bfloat16, max_shard_bytes: 1000}
generate: {prompt: "a: b", prompt_file: p.txt, prompt_ids: "1 2", output: ids, max_new_tokens: 9, temperature: 0.7, top_p: 0.9,
           seed: 7, decode_buffer: 32, stop_at_eos: false, top_k: 5, repetition_penalty: 1.1, stop: ["\n\n"],
           chat: true, chat_template: chatml, system: "Be brief.", document: d.txt, question: "Who?"}
bench: {warmup: 0, repeat: 7, batch: [1, 4], contexts: [8, 16], new_tokens: 3, limit: false,
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
  CHECK(config.model.init.rope_scaling.type == lococo::RopeType::kLlama3);
  REQUIRE(config.model.rope_scaling.has_value());
  CHECK(config.model.rope_scaling->beta_fast == 16.0);
  REQUIRE(config.data.train.size() == 2);
  CHECK(config.data.train[0].path == "x.txt");
  CHECK(config.data.train[0].weight == 1.0);
  CHECK(config.data.train[1].path == "y: z.jsonl");
  CHECK(config.data.train[1].weight == 0.25);
  REQUIRE(config.data.validation.size() == 1);
  CHECK(config.cache.policy == CachePolicyKind::kLococo);
  CHECK(config.cache.scores == lococo::ScoreKind::kAccumulated);
  CHECK(config.tune.conv == 1e-3);
  CHECK(config.tune.lora_targets == std::vector<std::string>{"q_proj", "down_proj"});
  CHECK(config.train.seed == UINT64_MAX);
  CHECK(config.train.resume == Resume::kPath);
  CHECK(config.train.resume_path == "out/step-10");
  CHECK(config.eval.lengths == std::vector<int64_t>{1024, 2048});
  CHECK(config.export_.output == "line\nwith \"quotes\" and \\");

  const std::string written = lococo::config_to_yaml(config);
  CHECK(lococo::config_to_yaml(parse_config(written, "y.yaml")) == written);
}

TEST_CASE("the test of every key gives every key another value", "[config]") {
  const std::string changed = lococo::config_to_yaml(parse_config(kEverything, "x.yaml"));
  const std::string defaults = lococo::config_to_yaml(Config{});
  // The two documents have the same keys in the same order, so they can be walked line by line.
  const std::set<std::string> same = {"keys: rotated",    "distill: 0.0",    "lesson_share: 0.0",
                                      "positions: slot",  "position_cap: 0", "retention: null",
                                      "pattern: full",    "windows: stride", "group_fraction: null",
                                      "interpolate_to: 0", "records: []",     "mixing: none"};
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

TEST_CASE("an empty document gives the defaults", "[config]") {
  const std::string defaults = lococo::config_to_yaml(Config{});
  for (const char* text : {"", "# only a comment\n", "cache:\n", "{}", "---\n"}) {
    CHECK(lococo::config_to_yaml(parse_config(text, "x.yaml")) == defaults);
  }
  CHECK(lococo::config_to_yaml(lococo::load_config("", {})) == defaults);
}

TEST_CASE("configs/reference.yaml is the reference that the schema gives", "[config]") {
  const std::string path = std::string(LOCOCO_SOURCE_DIR) + "/configs/reference.yaml";
  INFO("renew it with: lococo-train --reference > configs/reference.yaml");
  CHECK(lococo::read_text_file(path) == lococo::reference_config());
  CHECK(lococo::config_to_yaml(lococo::load_config(path, {})) == lococo::config_to_yaml(Config{}));
}

TEST_CASE("the reference names every key of the schema", "[config]") {
  const std::string reference = lococo::reference_config();
  std::set<std::string> seen;
  for (const std::string& key : lococo::config_keys()) {
    CHECK(seen.insert(key).second);
    line_of(reference, key.substr(key.rfind('.') + 1));
  }
  CHECK(seen.count("cache.slots") == 1);
  CHECK(seen.count("model.init.vocab_size") == 1);
  CHECK(seen.size() > 100);
}

TEST_CASE("overrides replace values, add keys and merge sections", "[config]") {
  const std::string yaml = "cache: {slots: 64, block: 32}\ndata: {train: &a [x], validation: *a}\n";
  const Config config = parse_config(
      yaml, "x.yaml",
      {"cache.slots=128", "cache={block: 16, buffer: 3}", "data.train=[y, z]", "train.output=o",
       "model.init.hidden_size=8", "model.init.num_attention_heads=2", "cache.slots=130",
       "model.init={vocab_size: 9, intermediate_size: 4, num_hidden_layers: 1}", "eval.lengths=8"});
  CHECK(config.cache.slots == 130);
  CHECK(config.cache.block == 16);
  CHECK(config.cache.buffer == 3);
  CHECK(config.data.train.size() == 2);
  REQUIRE(config.data.validation.size() == 1);  // the alias is not changed with its anchor
  CHECK(config.data.validation[0].path == "x");
  CHECK(config.train.output == "o");
  CHECK(config.model.init.hidden_size == 8);
  CHECK(config.model.init.vocab_size == 9);
  CHECK(config.eval.lengths == std::vector<int64_t>{8});
}

TEST_CASE("an override of a text is the text after the first =, as it is", "[config]") {
  for (const std::string text :
       {"No. 7 #street", "null",  "~",      "He said: yes", "*Hello*", "'Twas", "@home",
        "a=b",           "\"a\"", "[a, b]", "{a: b}",       "- a",     "%x",    "`x`",
        "a\nb\n",        " a ",   "! x",    "--- a",        "12",      "true",  "&",
        "\xE2\x82\xAC",  "# all"}) {
    INFO(text);
    CHECK(with({"generate.prompt=" + text}).generate.prompt == text);
    CHECK(with({"train.output=" + text}).train.output == text);
  }
  CHECK(parse_config("model: {adapter: x}", "x.yaml", {"model.adapter="}).model.adapter.empty());
  // A section's map is YAML.
  CHECK(with({"generate={prompt: \"null\"}"}).generate.prompt == "null");
}

TEST_CASE("an override of a whole value leaves nothing of the old one", "[config]") {
  const Config config = parse_config("model: {rope_scaling: {type: yarn, factor: 8, beta_fast: 3}}",
                                     "x.yaml", {"model.rope_scaling={type: linear, factor: 4}"});
  REQUIRE(config.model.rope_scaling.has_value());
  CHECK(config.model.rope_scaling->type == lococo::RopeType::kLinear);
  CHECK(config.model.rope_scaling->beta_fast == 32.0);
  CHECK_FALSE(parse_config("model: {rope_scaling: {type: linear, factor: 8}}", "x.yaml",
                           {"model.rope_scaling=null"})
                  .model.rope_scaling.has_value());
}

TEST_CASE("an unknown key names its line and the nearest key", "[config]") {
  CHECK(error_of("# one\ncache:\n  block: 3\n  slot: 4\n") ==
        "x.yaml:4: cache.slot: unknown key, did you mean cache.slots?");
  CHECK(error_of("cach:\n  slots: 4\n") == "x.yaml:1: cach: unknown key, did you mean cache?");
  CHECK_CONTAINS(error_of("slots: 4\n"), "x.yaml:1: slots: unknown key, did you mean cache.slots?");
  CHECK_CONTAINS(error_of("train: {context_length: 4}"), "did you mean data.context_length?");
  CHECK_CONTAINS(error_of("model: {init: {n_heads: 4}}"), "x.yaml:1: model.init.n_heads: unknown");
  CHECK_CONTAINS(error_of("tune: {normalizer_lr: 1e-3}"), "did you mean tune.normalizer?");
  CHECK_CONTAINS(error_of("completely_different_words: 1"), "configs/reference.yaml lists");
  CHECK_CONTAINS(error_of("cache: {x-slots: 4}"), "did you mean cache.slots?");
  CHECK(error_of("", {"cache.slot=4"}) ==
        "override cache.slot=4: cache.slot: unknown key, did you mean cache.slots?");
  CHECK_CONTAINS(error_of("", {"cache={slot: 4}"}), "cache.slot: unknown key, did you mean");
}

TEST_CASE("values of a wrong type are errors", "[config]") {
  const auto error = [](const std::string& text) { return error_of("", {text}); };
  for (const char* value :
       {"12x", "1.5", "1e3", "\"5\"", "yes", "[5]", "{a: 5}", "", "~", "0x10", "--5", "+", "5 6"}) {
    INFO(value);
    CHECK_CONTAINS(error(std::string("cache.slots=") + value), "cache.slots: expected an integer");
  }
  for (const char* value :
       {"yes", "\"0.5\"", "nan", ".inf", "inf", "1e999", "0.5.5", "+-1", "[]"}) {
    INFO(value);
    CHECK_CONTAINS(error(std::string("cache.keep_fraction=") + value), "expected a number");
  }
  for (const char* value : {"yes", "1", "on", "\"true\"", "", "[true]"}) {
    INFO(value);
    CHECK_CONTAINS(error(std::string("data.add_bos=") + value), "expected true or false");
  }
  CHECK_CONTAINS(error("tune.conv=fast"), "tune.conv: expected a number, got \"fast\"");
  CHECK_CONTAINS(error_of("train: {output: [a]}"), "train.output: expected text, got a list");
  CHECK_CONTAINS(error_of("export:\n  output: {a: b}"),
                 "got a map; put text with special characters");
  CHECK_CONTAINS(error("cache=5"), "override cache=5: cache: is a section");
  CHECK_CONTAINS(error_of("cache: 5"), "x.yaml:1: cache: expected a map of keys, got \"5\"");
  CHECK_CONTAINS(error_of("cache: [1]"), "expected a map of keys, got a list");
  CHECK_CONTAINS(error("eval.lengths=[1024, two]"), "expected an integer, got \"two\"");
  CHECK_CONTAINS(error("model.rope_scaling=8"), "expected null or a map {type, factor, ...}");
  CHECK_CONTAINS(error("data.train=[[a]]"), "data.train: expected text, got a list");
  CHECK_CONTAINS(error("data.train=[{path: a, weight: b}]"), "weight: expected a number");
  CHECK_CONTAINS(error("train.resume=null"), "train.resume: expected text");
}

TEST_CASE("numbers are read in the usual spellings", "[config]") {
  CHECK(with({"train.steps=+7"}).train.steps == 7);
  CHECK(with({"train.epsilon=1e-4"}).train.epsilon == 1e-4);
  CHECK(with({"train.epsilon=1E-4"}).train.epsilon == 1e-4);
  CHECK(with({"train.clip=3"}).train.clip == 3.0);
  CHECK(with({"train.clip=+.5"}).train.clip == 0.5);
  CHECK(with({"data.add_bos=False"}).data.add_bos == false);
  CHECK(with({"train.output=12"}).train.output == "12");
  CHECK(with({"train.output="}).train.output.empty());
}

TEST_CASE("values out of range name the range", "[config]") {
  const auto error = [](const std::string& text) { return error_of("", {text}); };
  CHECK(error("cache.slots=-1") ==
        "override cache.slots=-1: cache.slots: -1 is out of range; use an integer from 1 to "
        "16777216");
  CHECK_CONTAINS(error_of("cache:\n  slots: 0\n"), "x.yaml:2: cache.slots: 0 is out of range");
  CHECK_CONTAINS(error("cache.slots=99999999999999999999"), "is out of range");
  CHECK_CONTAINS(error("train.seed=-1"), "train.seed: -1 is out of range");
  CHECK_CONTAINS(error("train.seed=18446744073709551616"), "is out of range");
  CHECK_CONTAINS(error("cache.keep_fraction=1.5"), "use a number from 0 to 1");
  CHECK_CONTAINS(error("train.beta1=1"), "train.beta1: 1 is out of range");
  CHECK_CONTAINS(error("train.epsilon=0"), "use a number from 1e-30 to 1e+12");
  CHECK_CONTAINS(error("train.epsilon=1e-300"), "train.epsilon: 1e-300 is out of range");
  CHECK_CONTAINS(error("tune.lora_alpha=-1"), "use a number above 0");
  for (const char* key :
       {"cache.slots", "cache.block", "cache.local", "cache.sinks", "generate.decode_buffer",
        "model.init.vocab_size", "model.init.hidden_size", "model.init.num_hidden_layers"}) {
    CHECK_CONTAINS(error(std::string(key) + "=1000000000"), "1000000000 is out of range");
  }
  CHECK_CONTAINS(error("tune.lora=-1e-4"), "tune.lora: -1e-4 is out of range; a learning rate");
  CHECK_CONTAINS(error("eval.lengths=[1024, 0]"), "eval.lengths: 0 is out of range");
  CHECK_CONTAINS(error("data.context_length=1"), "data.context_length: 1 is out of range");
  CHECK_CONTAINS(error("checkpoint.keep_last=0"), "checkpoint.keep_last: 0 is out of range");
}

TEST_CASE("an unknown choice names the choices", "[config]") {
  CHECK_CONTAINS(error_of("", {"cache.policy=locco"}),
                 "\"locco\" is not a choice; use none, streaming, h2o, lococo or retention");
  CHECK_CONTAINS(error_of("", {"model.dtype=fp16"}), "use float32 or bfloat16");
  CHECK_CONTAINS(error_of("", {"log.level=loud"}), "use trace, debug, info, warn or error");
  CHECK_CONTAINS(error_of("", {"cache.policy=null"}), "is not a choice");
  CHECK_CONTAINS(error_of("", {"cache.policy=[lococo]"}), "a list is not a choice");
}

TEST_CASE("sources are a path, a list of paths or a list of maps", "[config]") {
  CHECK(with({"data.train=a b.txt"}).data.train[0].path == "a b.txt");
  CHECK(with({"data.train={path: a, weight: 2}"}).data.train[0].weight == 2.0);
  CHECK(with({"data.train=[a, b]"}).data.train[1].path == "b");
  CHECK(with({"data.train="}).data.train.empty());
  CHECK(with({"data.train=[]"}).data.train.empty());
  CHECK_CONTAINS(error_of("", {"data.train=[{path: a, wieght: 3}]"}),
                 "data.train: wieght: unknown key; a source has path and weight");
  CHECK_CONTAINS(error_of("", {"data.train=[{weight: 3}]"}), "a source has no path");
  CHECK_CONTAINS(error_of("", {"data.train=[\"\"]"}), "a source has no path");
  CHECK_CONTAINS(error_of("", {"data.train=[{path: a, weight: 0}]"}), "weight: must be positive");
}

TEST_CASE("resume is auto, never or a folder", "[config]") {
  CHECK(with({}).train.resume == Resume::kAuto);
  CHECK(with({"train.resume=never"}).train.resume == Resume::kNever);
  const Config config = with({"train.resume=out/step-5"});
  CHECK(config.train.resume == Resume::kPath);
  CHECK(config.train.resume_path == "out/step-5");
  CHECK_CONTAINS(error_of("", {"train.resume=\"\""}), "train.resume: is empty");
}

TEST_CASE("a learning rate that is absent, null or 0 trains nothing", "[config]") {
  CHECK_FALSE(with({}).tune.lora.has_value());
  CHECK_FALSE(parse_config("tune: {lora: 1e-4}", "x", {"tune.lora=null"}).tune.lora.has_value());
  CHECK(with({"tune.lora=0"}).tune.lora == 0.0);
  CHECK(with({"tune.lora=1e-4"}).tune.lora == 1e-4);
}

TEST_CASE("rope_scaling takes the parameters of its type and no others", "[config]") {
  const auto error = [](const std::string& map) {
    return error_of("", {"model.rope_scaling=" + map});
  };
  CHECK_CONTAINS(error("{factor: 4}"), "type is missing");
  CHECK_CONTAINS(error("{type: linear}"), "factor is missing");
  CHECK_CONTAINS(error("{type: longrope, factor: 4}"), "\"longrope\" is not a choice");
  CHECK_CONTAINS(error("{type: linear, factor: 4, beta_fast: 3}"), "beta_fast: unknown key for");
  CHECK_CONTAINS(error("{type: yarn, factor: 4, low_freq_factor: 3}"), "low_freq_factor: unknown");
  CHECK_CONTAINS(error("{type: default, factor: 4}"), "factor: unknown key for type default");
  CHECK_CONTAINS(error("{type: linear, factor: 0.5}"), "the factor must be at least 1");
  CHECK_CONTAINS(error("{type: llama3, factor: 8, low_freq_factor: 4}"), "must be larger");
  const Config config =
      with({"model.rope_scaling={rope_type: dynamic, factor: 2, "
            "original_max_position_embeddings: 512}"});
  CHECK(config.model.rope_scaling->type == lococo::RopeType::kDynamic);
  CHECK(config.model.rope_scaling->original_max_position_embeddings == 512);
  CHECK(with({"model.rope_scaling={type: default}"}).model.rope_scaling.has_value());
}

TEST_CASE("a config file that is missing is named", "[config]") {
  CHECK_CONTAINS(user_error_of([] { lococo::load_config("/none/x.yaml", {}); }),
                 "/none/x.yaml: cannot read the file");
  const TemporaryFolder folder;
  lococo::write_text_file(folder / "x.yaml", "cache:\n  slots: 0\n");
  CHECK_CONTAINS(user_error_of([&] { lococo::load_config(folder / "x.yaml", {}); }),
                 folder / "x.yaml" + ":2: cache.slots: 0 is out of range");
}

TEST_CASE("mixed slots are int(slots * (1 - keep_fraction)) and only of lococo", "[config]") {
  CacheConfig cache;
  cache.policy = CachePolicyKind::kLococo;
  const auto mixed = [&](int64_t slots, double keep_fraction) {
    cache.slots = slots;
    cache.keep_fraction = keep_fraction;
    return cache.mixed_slots();
  };
  CHECK(mixed(512, 0.75) == 128);
  CHECK(mixed(512, 0.5) == 256);
  CHECK(mixed(7, 0.5) == 3);
  CHECK(mixed(512, 0.0) == 512);
  CHECK(mixed(512, 1.0) == 0);
  CHECK(mixed(10, 0.9) == 0);  // 10 * (1 - 0.9) is 0.9999999999999998
  CHECK(mixed(10, 0.8) == 1);  // 1.9999999999999996
  mixed(512, 0.75);
  CHECK(cache.kept_slots() == 384);
  cache.policy = CachePolicyKind::kH2o;
  CHECK(cache.mixed_slots() == 0);
  CHECK(cache.kept_slots() == 512);
}
