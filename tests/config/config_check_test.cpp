#include <string>
#include <vector>

#include "config/config_yaml.h"
#include "tests/config/config_error.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using lococo::parse_config;
using lococo::testing::error_of;
using lococo::testing::user_error_of;

namespace {

void check_accepted(const std::string& yaml) {
  INFO(yaml);
  CHECK_NOTHROW(parse_config(yaml, "x.yaml"));
}

}  // namespace

TEST_CASE("a combination names the line of the key that it is about", "[config]") {
  CHECK(error_of("cache:\n  policy: streaming\n  slots: 4\n  sinks: 4\n") ==
        "x.yaml:4: cache.sinks: 4 leave none of the 4 slots for the newest tokens; use fewer sinks "
        "or more slots");
  // A default has no line.
  CHECK_CONTAINS(error_of("cache: {policy: lococo, slots: 1}"), "x.yaml: cache.keep_fraction: ");
  CHECK_CONTAINS(user_error_of([] { lococo::load_config("", {"tune.conv=1"}); }),
                 "override tune.conv=1: tune.conv: ");
}

TEST_CASE("sinks and newest tokens must fit into the slots that keep tokens", "[config]") {
  const std::string lococo =
      error_of("cache: {policy: lococo, slots: 128, keep_fraction: 0.25, sinks: 4, local: 64}");
  CHECK_CONTAINS(lococo, "cache.local: 4 sinks and 64 newest tokens do not fit into the 32 of 128");
  CHECK_CONTAINS(lococo, "96 hold mixtures");
  CHECK_CONTAINS(lococo, "a larger cache.keep_fraction");
  CHECK_CONTAINS(error_of("cache: {policy: h2o, slots: 64, sinks: 4, local: 61}"),
                 "do not fit into the 64 of 64 slots");
  check_accepted("cache: {policy: lococo, slots: 128, keep_fraction: 0.75, sinks: 4, local: 64}");
  check_accepted("cache: {policy: h2o, slots: 64, keep_fraction: 0.1, sinks: 4, local: 60}");
  check_accepted("cache: {policy: streaming, slots: 5, sinks: 4}");
  check_accepted("cache: {policy: none, slots: 4, sinks: 400}");
}

TEST_CASE("the convolution must have an odd kernel and something to fill", "[config]") {
  CHECK_CONTAINS(error_of("cache: {kernel_size: 20}"), "cache.kernel_size: 20 must be odd; use 21");
  CHECK_CONTAINS(error_of("cache: {policy: lococo, keep_fraction: 1.0}"),
                 "cache.keep_fraction: leaves no slot for mixtures");
  CHECK_CONTAINS(error_of("cache: {policy: lococo, expand: 2}"), "cache.expand: has no effect");
  check_accepted("cache: {policy: lococo, expand: 2, conv_layers: 2, kernel_size: 1}");
}

TEST_CASE("scores must reach the tokens that they rank", "[config]") {
  CHECK_CONTAINS(error_of("cache: {policy: h2o, score_decay: 0.8}"),
                 "cache.score_decay: has no effect on scores of the last block");
  CHECK_CONTAINS(error_of("cache: {policy: h2o, local: 8, score_distance: 16}"),
                 "cache.score_distance: 16 newest tokens have no score yet");
  check_accepted(
      "cache: {policy: h2o, local: 16, score_distance: 16, scores: accumulated, score_decay: 0.8}");
  check_accepted("cache: {policy: streaming, score_distance: 16}");
}

TEST_CASE("distillation teaches convolutions, while nothing else moves", "[config]") {
  CHECK_CONTAINS(error_of("cache: {policy: h2o, distill: 0.1}"),
                 "x.yaml:1: cache.distill: teaches convolutions; set cache.policy lococo");
  CHECK_CONTAINS(error_of("cache: {policy: lococo, distill: 0.1}\ntrain: {pass: full_sequence}"),
                 "x.yaml:1: cache.distill: has no effect with train.pass full_sequence");
  CHECK_CONTAINS(error_of("cache: {policy: lococo, distill: 0.1, bptt_blocks: 2}"),
                 "x.yaml:1: cache.distill: cannot be combined with cache.bptt_blocks");
  CHECK_CONTAINS(error_of("cache: {policy: lococo, distill: 0.1}\ntune: {conv: 1e-3, norm: 1e-4}"),
                 "x.yaml:1: cache.distill: compares with the model's own full attention");
  check_accepted("cache: {policy: lococo, distill: 0.1}\ntune: {conv: 1e-3, normalizer: 1e-2}");
}

TEST_CASE("gradients cross blocks only where there are caches", "[config]") {
  CHECK_CONTAINS(error_of("cache: {bptt_blocks: 2}"),
                 "x.yaml:1: cache.bptt_blocks: lets gradients cross a cache, and there is none");
  CHECK_CONTAINS(error_of("cache: {policy: h2o, bptt_blocks: 2}\ntrain: {pass: full_sequence}"),
                 "x.yaml:1: cache.bptt_blocks: has no effect with train.pass full_sequence");
  check_accepted("cache: {policy: streaming, bptt_blocks: 2}");
  check_accepted("cache: {policy: lococo, bptt_blocks: 64}\ntrain: {pass: blockwise}");
  check_accepted("cache: {bptt_blocks: 1}\ntrain: {pass: full_sequence}");
}

TEST_CASE("unrotated keys refuse RoPE scaling but the model's own", "[config]") {
  const std::string cache = "cache: {policy: lococo, keys: unrotated}\n";
  const std::string scaling = "model: {rope_scaling: {type: linear, factor: 8}}\n";
  CHECK_CONTAINS(error_of(cache + scaling), "x.yaml:2: model.rope_scaling: scaling does harm");
  CHECK_CONTAINS(error_of(cache + "model: {interpolate_to: 8192}"),
                 "x.yaml:2: model.interpolate_to: scaling does harm");
  const std::string shape =
      "vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, "
      "num_attention_heads: 2";
  // What a model was made with belongs to its weights.
  check_accepted(cache + "model: {init: {" + shape +
                 ", rope_scaling: {type: dynamic, factor: 2}}}");
  check_accepted(cache + "model: {rope_scaling: {type: linear, factor: 1}}");
  check_accepted(cache + "model: {rope_scaling: {type: default}}");
  check_accepted("cache: {policy: lococo, keys: rotated}\n" + scaling);
  check_accepted("cache: {policy: none, keys: unrotated}\n" + scaling);
}

TEST_CASE("only lococo has convolutions to train", "[config]") {
  CHECK_CONTAINS(error_of("cache: {policy: h2o}\ntune: {conv: 1e-3}"),
                 "x.yaml:2: tune.conv: only cache.policy lococo and cache.mixing conv have");
  CHECK_CONTAINS(error_of("tune: {normalizer: 1e-3}"), "tune.normalizer: only cache.policy lococo");
  check_accepted("tune: {conv: 0}");
  check_accepted("cache: {policy: lococo}\ntune: {conv: 1e-3, normalizer: 1e-3}");
}

TEST_CASE("training all weights excludes groups of them", "[config]") {
  for (const char* group : {"lora", "embed", "norm"}) {
    const std::string line = error_of(std::string("tune: {all: 1e-4, ") + group + ": 1e-4}");
    CHECK_CONTAINS(line, std::string("tune.") + group + ": overlaps with tune.all");
  }
  check_accepted("tune: {all: 0, lora: 1e-4, embed: 1e-4, norm: 1e-4}");
  check_accepted("cache: {policy: lococo}\ntune: {all: 1e-4, conv: 1e-3}");
}

TEST_CASE("LoRA targets are projections, each once", "[config]") {
  CHECK_CONTAINS(error_of("tune: {lora_targets: [q_proj, w_proj]}"),
                 "\"w_proj\" is not a projection");
  CHECK_CONTAINS(error_of("tune: {lora_targets: [q_proj, q_proj]}"), "q_proj is listed twice");
  CHECK_CONTAINS(error_of("tune: {lora: 1e-4, lora_targets: []}"), "tune.lora_targets: is empty");
  check_accepted("tune: {lora: 1e-4, lora_targets: down_proj}");
  check_accepted("tune: {lora_targets: []}");
}

TEST_CASE("steps and batches must fit together", "[config]") {
  CHECK_CONTAINS(error_of("train: {sequences_per_step: 4, micro_batch: 5}"),
                 "train.micro_batch: 5 is more than the 4 of train.sequences_per_step");
  CHECK_CONTAINS(error_of("train: {steps: 4, warmup_steps: 5}"),
                 "train.warmup_steps: 5 is more than the 4 of train.steps");
  check_accepted("train: {sequences_per_step: 4, micro_batch: 4, steps: 4, warmup_steps: 4}");
}

TEST_CASE("blocks of one token leave nothing to train on", "[config]") {
  CHECK_CONTAINS(error_of("cache:\n  policy: h2o\n  block: 1\ntune: {norm: 1e-3}"),
                 "x.yaml:3: cache.block: 1 leaves nothing to train on");
  check_accepted("cache: {policy: h2o, block: 1, boundary_targets: true}\ntune: {norm: 1e-3}");
  check_accepted("cache: {policy: h2o, block: 2}\ntune: {norm: 1e-3}");
  check_accepted("cache: {policy: h2o, block: 1}");  // evaluation scores every token
}

TEST_CASE("the pass must suit the cache policy", "[config]") {
  CHECK_CONTAINS(error_of("cache: {policy: h2o}\ntrain: {pass: full_sequence}"),
                 "x.yaml:2: train.pass: full_sequence has no cache to compress");
  check_accepted("train: {pass: blockwise}");  // full attention block by block, nothing compressed
  check_accepted("cache: {policy: streaming}\ntrain: {pass: blockwise}");
  check_accepted("cache: {policy: streaming}\ntrain: {pass: auto}");
}

TEST_CASE("lessons need a pass that can leave out targets", "[config]") {
  check_accepted("data: {lesson_share: 0.2}\ncache: {policy: h2o}\ntune: {lora: 1e-4}");
  check_accepted("data: {lesson_share: 0.2}\ntrain: {pass: blockwise}\ntune: {lora: 1e-4}");
  CHECK_CONTAINS(error_of("data: {lesson_share: 0.2}\ncache: {policy: lococo, distill: 1}"),
                 "data.lesson_share: cache.distill would compare");
  CHECK_CONTAINS(error_of("data: {lesson_share: 1.5}"), "data.lesson_share: 1.5 is out of range");
  check_accepted("data: {lesson_share: 0.2, lesson_texts: novels, far: 512}");
  check_accepted("data: {lesson_share: 0.2}\ncache: {policy: h2o}");  // where nothing is trained
  check_accepted("data: {lesson_share: 1.0, lesson_texts: [novels, more.txt]}");
  check_accepted("data: {context_length: 8192, lesson_share: 0.5, lesson_length: 4096}");
  CHECK_CONTAINS(error_of("data: {lesson_share: 0.5, lesson_length: 4097}"),
                 "data.lesson_length: 4097 is more than data.context_length 4096");
}

TEST_CASE("records are trained on alone", "[config]") {
  check_accepted("data: {records: [a.jsonl, {path: b.json, weight: 2}], packing: true}");
  check_accepted("data: {records: a.jsonl, packing: true}\ncache: {policy: h2o}");
  check_accepted("data: {validation_records: a.jsonl}\neval: {every: 2}");
  CHECK_CONTAINS(error_of("data: {records: a.jsonl, train: b.txt}"),
                 "x.yaml:1: data.records: are trained on in place of data.train");
  CHECK_CONTAINS(error_of("data: {records: a.jsonl, lesson_share: 0.5}"),
                 "data.lesson_share: puts lessons among the sequences of data.train");
  CHECK_CONTAINS(error_of("data: {records: a.jsonl}\ncache: {policy: lococo, distill: 1}"),
                 "cache.distill: compares all tokens");
  CHECK_CONTAINS(error_of("data: {records: {path: a.jsonl, weight: 0}}"),
                 "weight: must be positive");
  CHECK_CONTAINS(error_of("data: {records: a.jsonl, on_too_long: cut}"),
                 "data.on_too_long: \"cut\" is not a choice");
  CHECK_CONTAINS(error_of("data: {records: a.jsonl, packing: true}\ntrain: {pass: teach}\n"
                          "cache: {policy: retention, scores: accumulated, keys: unrotated, "
                          "positions: text, buffer: 0}"),
                 "data.packing: train.pass teach has one text");
}

TEST_CASE("the shape of a random model must fit together", "[config]") {
  const std::string start = "model: {init: {vocab_size: 8, intermediate_size: 8, ";
  CHECK_CONTAINS(error_of("model: {init: {vocab_size: 8}}"),
                 "model.init.hidden_size: must be positive");
  CHECK_CONTAINS(
      error_of(start + "num_hidden_layers: 1, hidden_size: 10, num_attention_heads: 4}}"),
      "model.init.hidden_size: 10 is not a multiple of num_attention_heads 4");
  CHECK_CONTAINS(error_of(start + "num_hidden_layers: 1, hidden_size: 8, num_attention_heads: 4, "
                                  "num_key_value_heads: 3}}"),
                 "x.yaml:1: model.init.num_key_value_heads: 3 does not divide the 4");
  CHECK_CONTAINS(
      error_of(start + "num_hidden_layers: 1, hidden_size: 12, num_attention_heads: 4}}"),
      "model.init.head_dim: 3 must be positive and even");
  check_accepted(start + "num_hidden_layers: 1, hidden_size: 8, num_attention_heads: 4}}");
  // A folder has its own shape.
  check_accepted("model: {path: m, init: {vocab_size: 8}}");
}

TEST_CASE("devices and backends are checked", "[config]") {
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:1000", ""}) {
    CHECK_CONTAINS(error_of(std::string("distributed: {device: \"") + device + "\"}"),
                   "is not a device; use auto, cpu, cuda or cuda:N");
  }
  CHECK_CONTAINS(error_of("distributed: {device: cpu, backend: nccl}"), "nccl needs GPUs");
  check_accepted("distributed: {device: cuda:3}");
  check_accepted("distributed: {device: cpu, backend: mpi}");
}

TEST_CASE("what stages of a pipeline cannot do is refused", "[config]") {
  const std::string start = "distributed: {pipeline: 2}\n", blocks = "cache: {policy: h2o}\n";
  check_accepted(start + blocks + "tune: {lora: 1e-4}");
  check_accepted(start + "train: {pass: blockwise}\ntune: {lora: 1e-4}");
  check_accepted(start + "tune: {lora: 1e-4}\nattention: {pattern: s2}");
  CHECK_CONTAINS(
      error_of(start + "cache: {policy: retention, scores: accumulated, keys: unrotated, "
                       "positions: text, buffer: 0}\ntune: {retention: 1e-2}"),
      "teach with distributed.pipeline 1");
  CHECK_CONTAINS(error_of(start + "cache: {policy: lococo, bptt_blocks: 2}\ntune: {conv: 1e-2}"),
                 "use cache.bptt_blocks 1");
  CHECK_CONTAINS(error_of(start + "cache: {policy: lococo, distill: 0.5}\ntune: {conv: 1e-2}"),
                 "use cache.distill 0");
  CHECK_CONTAINS(error_of(start + blocks + "tune: {embed: 1e-4}"),
                 "leaves nothing to train to later stages");
  CHECK_CONTAINS(error_of("distributed: {pipeline: 2, backend: single}\n" + blocks),
                 "distributed.backend is single");
  CHECK_CONTAINS(error_of("distributed: {pipeline: 0}"), "distributed.pipeline");
  CHECK_CONTAINS(error_of("distributed: {pipeline: 2, stage_layers: [3]}\n" + blocks),
                 "distributed.stage_layers: has 1 numbers for distributed.pipeline 2");
  CHECK_CONTAINS(error_of("distributed: {pipeline: 2, stage_layers: [3, 0]}\n" + blocks),
                 "distributed.stage_layers");
  // Of one stage nothing is asked.
  check_accepted("distributed: {pipeline: 1, backend: single}\ntune: {embed: 1e-4}");
}

TEST_CASE("no figure of an evaluation is asked for twice", "[config]") {
  CHECK(error_of("eval: {lengths: [64, 128, 64]}") ==
        "x.yaml:1: eval.lengths: 64 stands there twice; name it once");
  CHECK_CONTAINS(error_of("eval: {task: needle, depths: [50, 50]}"),
                 "eval.depths: 50 stands there twice; name it once");
  check_accepted("eval: {task: needle, lengths: [64, 128], depths: [0, 50]}");
}

TEST_CASE("kinds are given to the tasks that have some", "[config]") {
  for (const char* task : {"passkey", "choice", "qa", "many_shot"})
    CHECK_CONTAINS(error_of("eval: {task: " + std::string(task) + ", kinds: [digits]}"),
                   "eval.kinds: eval.task needle and ruler alone have kinds; leave the key out");
  check_accepted("eval: {task: needle, kinds: [digits]}");
  check_accepted("eval: {kinds: [digits]}");  // a warning says that nothing is asked
}

TEST_CASE("evaluation needs lengths, room for a segment and data", "[config]") {
  CHECK_CONTAINS(error_of("eval: {lengths: []}"), "eval.lengths: is empty");
  CHECK_CONTAINS(error_of("eval: {lengths: [64, 128], max_tokens: 100}"),
                 "eval.lengths: 128 is more than the 100 of eval.max_tokens");
  // Questions have no segments.
  check_accepted("eval: {task: passkey, lengths: 128, max_tokens: 100, position_buckets: 999}");
  CHECK_CONTAINS(error_of("eval: {task: passkey, lengths: 128, max_tokens: 100, every: 5}\n"
                          "data: {validation: v.txt}"),
                 "eval.lengths: 128 is more than the 100");
  CHECK_CONTAINS(error_of("eval: {every: 5}"), "eval.every: is set, but data.validation is empty");
  check_accepted("eval: {every: 5}\ndata: {validation: v.txt}");
}

TEST_CASE("no part of a segment is empty", "[config]") {
  CHECK(error_of("eval:\n  lengths: [64, 128]\n  position_buckets: 65\n") ==
        "x.yaml:3: eval.position_buckets: 65 are more than the 64 tokens of a segment "
        "(eval.lengths); use fewer");
  CHECK_CONTAINS(error_of("eval: {lengths: 64, position_buckets: -1}"),
                 "eval.position_buckets: -1 is out of range");
  check_accepted("eval: {lengths: [64, 128], position_buckets: 64}");
}

TEST_CASE("a quantised base is not trained itself", "[config]") {
  CHECK(
      error_of("model: {base_precision: nf4}\ntune:\n  all: 1.0e-3\n") ==
      "x.yaml:3: tune.all: trains every weight of the base, which model.base_precision quantises; "
      "use tune.lora, or model.base_precision auto");
  CHECK_CONTAINS(error_of("model: {base_precision: fp8}\ntune: {all: 1.0e-3}"), "quantises");
  CHECK_CONTAINS(error_of("model: {base_precision: fp4}"), "auto");
  check_accepted("model: {base_precision: nf4}\ntune: {lora: 1.0e-3, embed: 1.0e-3, norm: 1.0e-3}");
  check_accepted("model: {base_precision: auto}\ntune: {all: 1.0e-3}");
}

TEST_CASE("a JSONL text field has a name", "[config]") {
  CHECK_CONTAINS(error_of("data: {text_field: \"\"}"), "data.text_field: is empty");
}

TEST_CASE("a benchmark needs a batch and a length", "[config]") {
  CHECK_CONTAINS(error_of("bench: {batch: []}"), "x.yaml:1: bench.batch: is empty");
  CHECK_CONTAINS(error_of("bench: {contexts: []}"), "x.yaml:1: bench.contexts: is empty");
  CHECK_CONTAINS(error_of("bench: {batch: [1, 0]}"), "bench.batch: 0 is out of range");
  check_accepted("bench: {batch: 4, contexts: [2, 32768]}");
}
