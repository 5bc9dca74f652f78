#include "config/config_effect.h"

#include <filesystem>

#include "config/config_yaml.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;

namespace {

std::string warning_of(const std::vector<std::string>& overrides) {
  return effect_warning(parse_config("", "", overrides));
}

}  // namespace

TEST_CASE("options that a cache policy ignores are named with the reason", "[config]") {
  const auto line = warning_of({"cache.policy=streaming", "cache.sinks=4", "cache.local=64",
                                "cache.kernel_size=9", "cache.scores=accumulated"});
  CHECK_CONTAINS(line, "without effect in this run: cache.local (cache.policy streaming keeps");
  CHECK_CONTAINS(line, "cache.scores (cache.policy streaming has no scores)");
  CHECK_CONTAINS(line, "cache.kernel_size (");
  CHECK(line.find("cache.sinks") == std::string::npos);
  CHECK(line.find('\n') == std::string::npos);

  CHECK_CONTAINS(warning_of({"cache.policy=h2o", "cache.keep_fraction=0.75", "cache.init=fan_in"}),
                 "cache.keep_fraction, cache.init (cache.policy h2o mixes nothing)");
  CHECK(warning_of({"cache.policy=h2o", "cache.local=64", "cache.scores=accumulated"}).empty());
  CHECK_CONTAINS(warning_of({"cache.slots=64", "cache.sinks=4"}),
                 "cache.slots, cache.sinks (cache.policy none keeps everything)");
  CHECK_CONTAINS(
      warning_of({"cache.policy=lococo", "cache.init=identity", "cache.normalizer_init=0.2"}),
      "cache.normalizer_init (");
}

TEST_CASE("training options without effect are named", "[config]") {
  const std::string checkpointing = "train.activation_checkpointing=true";
  CHECK_CONTAINS(warning_of({"cache.policy=lococo", checkpointing}),
                 "train.activation_checkpointing (");
  CHECK(warning_of({checkpointing}).empty());
  CHECK(warning_of({checkpointing, "train.recompute_attention=true"}).empty());
  CHECK_CONTAINS(warning_of({"train.recompute_attention=true"}),
                 "train.recompute_attention (train.activation_checkpointing is off)");
  CHECK_CONTAINS(warning_of({"tune.lora_rank=4"}), "tune.lora_rank (tune.lora is not trained)");
  CHECK(warning_of({"tune.lora_rank=4", "tune.lora=1e-3"}).empty());
  CHECK_CONTAINS(warning_of({"train.decay=constant", "train.final_lr_fraction=0.1"}),
                 "train.final_lr_fraction");
  CHECK_CONTAINS(warning_of({"data.train=a.bin", "data.raw_dtype=uint16", "data.add_eos=false"}),
                 "data.add_eos (every source holds tokens)");
  CHECK_CONTAINS(warning_of({"data.train=a.txt", "data.text_field=body"}), "data.text_field");
  CHECK(warning_of({"data.train=[a.txt, folder]", "data.text_field=body"}).empty());
  CHECK_CONTAINS(warning_of({"data.lesson_texts=a.txt"}), "data.lesson_texts (data.lesson_share 0");
  CHECK(warning_of({"data.lesson_share=0.1", "data.train=a.bin", "data.lesson_texts=a.jsonl",
                    "data.text_field=body"})
            .empty());
  CHECK_CONTAINS(warning_of({"data.far=9"}), "data.far (");
  CHECK_CONTAINS(warning_of({"data.on_too_long=drop"}), "data.on_too_long (there are no records");
  CHECK(warning_of({"data.on_too_long=drop", "data.validation_records=a.json"}).empty());
  CHECK_CONTAINS(warning_of({"data.records=a.json", "data.group_by_length=true"}),
                 "data.group_by_length (a micro-batch of one");
  const std::string field = "data.text_field=body";
  for (const char* key : {"data.records=a.json", "data.validation_records=a.json"}) {
    CHECK(warning_of({key, field, "data.raw_dtype=uint16"}) ==
          "without effect in this run: data.text_field, data.raw_dtype (there are records, and no "
          "texts)");
  }
  CHECK(warning_of({"data.records=a.json", "data.validation=a.jsonl", field}).empty());
  CHECK(warning_of({field}).empty());
  CHECK_CONTAINS(warning_of({"distributed.shard_optimizer=true", "distributed.backend=single"}),
                 "distributed.shard_optimizer (distributed.backend single has one rank)");
  CHECK_CONTAINS(warning_of({"distributed.timeout_s=60", "distributed.backend=single"}),
                 "distributed.timeout_s (distributed.backend single has one rank)");
  CHECK(warning_of({"distributed.shard_optimizer=true"}).empty());
  CHECK_CONTAINS(warning_of({"generate.top_p=0.9"}), "generate.top_p");
  CHECK(warning_of({"generate.top_p=0.9", "generate.temperature=0.7"}).empty());
  CHECK_CONTAINS(warning_of({"generate.prompt=Hi", "generate.chat_template=chatml",
                             "generate.system=Be brief."}),
                 "generate.chat_template, generate.system (a prompt is continued as it is)");
  for (const char* talk :
       {"generate.chat=true", "generate.question=Who?", "generate.document=a", "eval.task=needle"})
    CHECK(warning_of({talk, "generate.chat_template=chatml", "generate.system=Brief"}).empty());
}

TEST_CASE("what nobody gave, and a default that was given, is passed over", "[config]") {
  Config config;
  config.cache.local = 64;  // not by the user
  CHECK(options_without_effect(config).empty());
  CHECK(warning_of({"cache.slots=512", "train.activation_checkpointing=false"}).empty());
}

TEST_CASE("no config of the project names an option without effect", "[config]") {
  for (const auto& entry : std::filesystem::directory_iterator(LOCOCO_SOURCE_DIR "/configs")) {
    INFO(entry.path().string());
    CHECK(effect_warning(load_config(entry.path().string(), {})) == "");
  }
}

TEST_CASE("options of questions do nothing for NLL, and the other way round", "[config]") {
  CHECK_CONTAINS(warning_of({"eval.trials=7", "eval.answerer=oracle"}),
                 "eval.trials, eval.answerer (eval.task perplexity asks nothing)");
  CHECK_CONTAINS(warning_of({"eval.task=passkey", "eval.per_token=nll.bin"}),
                 "eval.per_token (for eval.task perplexity alone)");
  CHECK(warning_of({"eval.task=passkey", "eval.trials=7", "eval.hay=filler"}).empty());
  CHECK_CONTAINS(warning_of({"eval.task=passkey", "eval.hay=longlora", "eval.depths=[50]"}),
                 "eval.depths (eval.hay longlora draws as its code)");
  CHECK_CONTAINS(warning_of({"eval.task=passkey", "eval.distractors=5"}),
                 "eval.distractors (only eval.task needle reads it)");
  CHECK_CONTAINS(warning_of({"eval.task=many_shot", "eval.questions=q.jsonl", "eval.distance=50"}),
                 "eval.distance (only eval.task passkey or needle reads it)");
  const auto choice = warning_of({"eval.task=choice", "eval.questions=q.jsonl", "eval.trials=7",
                                  "eval.lengths=[64]", "eval.depths=[50]"});
  CHECK_CONTAINS(choice, "eval.trials (only eval.task passkey, needle, ruler or many_shot reads");
  CHECK_CONTAINS(choice, "eval.lengths (only eval.task passkey, needle, ruler or many_shot reads");
  CHECK_CONTAINS(choice, "eval.depths (only eval.task passkey or needle reads it)");
  CHECK_CONTAINS(warning_of({"eval.task=qa", "eval.questions=q.jsonl", "eval.trials=7"}),
                 "eval.trials (only eval.task passkey, needle, ruler or many_shot reads it)");
  for (const char* task : {"eval.task=ruler", "eval.task=many_shot"}) {
    CHECK(warning_of({task, "eval.depths=[50]"}) ==
          "without effect in this run: eval.depths (only eval.task passkey or needle reads it)");
    CHECK(warning_of({task, "eval.trials=7", "eval.lengths=[640]"}).empty());
  }
  CHECK(warning_of({"eval.task=needle", "eval.max_tokens=99", "eval.stride=8", "eval.far=9",
                    "eval.segments_per_document=2"}) ==
        "without effect in this run: eval.max_tokens, eval.stride, eval.segments_per_document, "
        "eval.far (for eval.task perplexity alone)");
  CHECK(warning_of({"eval.task=needle", "eval.distance=50", "eval.kinds=[digits]"}).empty());
}

TEST_CASE("records are scored one by one, and full attention has one pattern", "[config]") {
  CHECK_CONTAINS(warning_of({"data.validation_records=x.jsonl", "eval.per_token=nll.bin"}),
                 "eval.per_token (data.validation_records are scored record by record)");
  const std::string texts = "data.validation=a.txt", records = "data.validation_records=x.jsonl";
  CHECK(warning_of({texts, records, "eval.lengths=[64]"}) ==
        "without effect in this run: data.validation (data.validation_records are scored alone); "
        "eval.lengths (data.validation_records are scored record by record)");
  // A training scores both.
  for (const char* trained : {"data.train=a.txt", "data.records=a.json"})
    CHECK(warning_of({trained, texts, records, "eval.lengths=[64]", "eval.max_tokens=99"}).empty());
  CHECK_CONTAINS(warning_of({"data.records=a.json", records, "eval.lengths=[64]"}),
                 "eval.lengths (data.validation_records are scored");
  // A task scores neither.
  CHECK(warning_of({"eval.task=passkey", texts, records}) ==
        "without effect in this run: data.validation_records (only eval.task perplexity scores "
        "records)");
  CHECK(warning_of({"eval.task=passkey", "data.records=a.json", texts, records}).empty());

  CHECK_CONTAINS(warning_of({"eval.pattern=training"}), "eval.pattern (attention.pattern full");
  CHECK(warning_of({"eval.pattern=training", "attention.pattern=s2"}).empty());
}
