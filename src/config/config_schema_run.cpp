#include "config/config_schema_run.h"

namespace lococo {
namespace {

constexpr int64_t kMostStages = 64;

void add_train(SchemaBuilder& add, TrainConfig& train) {
  add.section("train");
  add.add("steps", count(&train.steps, 1), "optimizer steps of the whole run");
  add.add("sequences_per_step", count(&train.sequences_per_step, 1, kManyHeld), "over all ranks");
  add.add("micro_batch", count(&train.micro_batch, 1, kManyHeld),
          "sequences of one forward pass on one rank");
  add.add("seed", SeedField{&train.seed}, "of the initial weights and of the order of the data");
  add.add("output", TextField{&train.output},
          "folder of checkpoints, metrics and the effective config");
  add.add("resume", ResumeField{&train},
          "auto: the newest good checkpoint in output, if any; never; or a checkpoint folder");
  add.choice("resume_changed", &train.resume_changed, {"refuse", "accept"},
             "what to do when options that change the meaning of the run differ from the "
             "checkpoint's");
  add.choice("pass", &train.pass, {"auto", "blockwise", "full_sequence", "teach"},
             "teach: whole sequences through a soft cache, against full attention; auto: teach "
             "with tune.retention, else blockwise with a cache policy, else full_sequence");
  add.add("beta1", NumberField{&train.beta1, 0.0, 0.999999}, "AdamW's decay of the mean");
  add.add("beta2", NumberField{&train.beta2, 0.0, 0.999999999}, "AdamW's decay of the square");
  add.add("epsilon", NumberField{&train.epsilon, 1e-30, kLargeNumber}, "AdamW's epsilon");
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
  add.add("recompute_attention", BoolField{&train.recompute_attention},
          "with activation_checkpointing: keep no attention outputs either, and recompute them");
  add.add("loss_chunk", count(&train.loss_chunk, 1, kManyHeld),
          "tokens whose logits exist at one time");
  add.add("cuda_graphs", BoolField{&train.cuda_graphs},
          "blockwise on a GPU: record each kind of block once and replay it (lococo-eval too)");
  add.add("deterministic", BoolField{&train.deterministic},
          "on a GPU: ask LibTorch for kernels whose sums repeat, slower ones; with tune.all runs "
          "were seen "
          "to differ all the same");
}

void add_teach(SchemaBuilder& add, TeachConfig& teach) {
  add.section("teach");
  add.add("slots", IntegersField{&teach.slots, 1, kManyHeld},
          "numbers of slots to teach for; each step draws one (cache.local and cache.sinks are "
          "those of cache.slots, and newest tokens grow with the slots)");
  add.add("block", count(&teach.block, 0, kManyHeld), "tokens of a block; 0: as many as the slots");
  add.add("temperature", positive(&teach.temperature), "of the soft choice at the first step");
  add.add("final_temperature", positive(&teach.final_temperature),
          "at the last step; between them it falls geometrically");
  add.add("far_weight", not_negative(&teach.far_weight),
          "weight of a far repeat's divergence from full attention; other targets have 1");
  add.add("answer_weight", not_negative(&teach.answer_weight),
          "weight of the mean loss over answers, beside that over all targets");
  add.add("answer_truth", fraction(&teach.answer_truth),
          "share of the answer itself in what its tokens are to be; full attention, which is not "
          "always right, has the rest");
}

void add_run(SchemaBuilder& add, Config& config) {
  add_teach(add, config.teach);
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
  add.add(
      "pipeline", count(&config.distributed.pipeline, 1, kMostStages),
      "stages of consecutive layers, each on a rank of its own, through which sequences go block "
      "by block, or whole ones by micro-batches (lococo-train, lococo-eval, lococo-generate); the "
      "ranks are a multiple, and every so many more train other sequences");
  add.add("stage_layers", IntegersField{&config.distributed.stage_layers, 1, kManyHeld},
          "layers of each stage, first to last; empty: so that the slowest stage has the least to "
          "do");
  add.add("shard_optimizer", BoolField{&config.distributed.shard_optimizer},
          "each rank holds and updates its part of the optimizer's state alone (ZeRO stage 1)");
  add.add("timeout_s", count(&config.distributed.timeout_s, 0, 30 * 86400),
          "seconds that ranks wait for one that lives but does not come on (a hung disk, a stopped "
          "process) before all end with a line that names it; 0: for ever");
}

void add_task(SchemaBuilder& add, EvalTaskConfig& task) {
  add.choice(
      "task", &task.task, {"perplexity", "passkey", "needle", "ruler", "choice", "qa", "many_shot"},
      "what is measured: NLL of texts, or answers to questions about prompts of eval.lengths");
  add.add("trials", count(&task.trials, 1, kManyHeld),
          "passkey, needle, ruler, many_shot: questions of each kind, length and depth");
  add.add("seed", SeedField{&task.seed}, "tasks: of everything that is drawn");
  add.add("kinds", TextsField{&task.kinds},
          "needle: digits, words, names, paraphrase, multikey; ruler: its tasks; empty: all");
  add.add("depths", IntegersField{&task.depths, 0, 100},
          "passkey, needle: places of what is asked, in percent of the text; empty: at random");
  add.choice("hay", &task.hay, {"texts", "filler", "longlora"},
             "passkey: what surrounds the key: data.validation, one sentence repeated, or the "
             "prompts of LongLoRA's code to the letter");
  add.choice("split", &task.split, {"train", "validation", "test"},
             "whose sentences, words and names questions are made of; they do not overlap");
  add.add("distance", count(&task.distance, 0),
          "passkey, needle: tokens at least between what is asked and the question");
  add.add("distractors", count(&task.distractors, 0, kManyHeld),
          "needle: other facts of the same form in the text");
  add.add("questions", TextField{&task.questions},
          "JSONL file: choice (context, options, answer), qa (context, question, answers), "
          "many_shot (text, label; empty: built in)");
  add.choice("answerer", &task.answerer, {"model", "oracle", "random"},
             "oracle and random test a task without a model");
  add.add("samples", TextField{&task.samples},
          "tasks: JSONL file of every prompt, answer and score; empty: none");
}

void add_eval(SchemaBuilder& add, EvalConfig& eval) {
  add.section("eval");
  add_task(add, eval.task);
  add.add("lengths", IntegersField{&eval.lengths, 2, kMany},
          "tokens of a segment, or of a question's prompt (not of choice and qa); one or a list");
  add.add("max_tokens", count(&eval.max_tokens, 1, kManyTokens),
          "NLL of one length: the first max_tokens / length segments");
  add.add("stride", count(&eval.stride, 0), "tokens between segment starts; 0: the length");
  add.add("segments_per_document", count(&eval.segments_per_document, 0), "at most; 0: all");
  add.choice("pattern", &eval.pattern, {"full", "training"},
             "what a token sees: all before it; training: what attention.pattern lets it see");
  add.choice("windows", &eval.windows, {"stride", "longlora"},
             "longlora: LongLoRA's windows, every 256 tokens, the last one dropped, length - 1 "
             "targets each");
  add.add("far", count(&eval.far, 1),
          "a repeat is far when its latest earlier occurrence is more tokens back");
  add.add("output", TextField{&eval.output}, "JSON file; empty: print only");
  add.add("per_token", TextField{&eval.per_token},
          "file of every target's NLL: .jsonl (with the tokens), or .bin (float32, segment after "
          "segment); empty: none");
  add.add("overwrite", BoolField{&eval.overwrite},
          "let output, samples and per_token replace files that are no results of ours, or "
          "symlinks");
  add.add("per_segment", BoolField{&eval.per_segment}, "write every segment's figures too");
  add.add("position_buckets", count(&eval.position_buckets, 0, kManyHeld),
          "equal parts of a segment whose mean NLL is reported one by one; 0: none");
  add.add("batch", count(&eval.batch, 1, kManyHeld), "segments of one forward pass");
  add.add("every", count(&eval.every, 0),
          "lococo-train: steps between evaluations on data.validation and data.validation_records; "
          "0: at the end alone (after_training)");
  add.add("after_training", BoolField{&eval.after_training},
          "lococo-train: a short evaluation along the segment at the end, with data.validation; "
          "warns when the NLL rises. Without eval.every the data.validation_records too");
}

void add_export(SchemaBuilder& add, Config& config) {
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

void add_generate(SchemaBuilder& add, GenerateConfig& generate) {
  add.section("generate");
  add.add("prompt", TextField{&generate.prompt}, "text to continue");
  add.add("prompt_file", TextField{&generate.prompt_file},
          "or a text file that holds it; -: standard input");
  add.add("prompt_ids", TextField{&generate.prompt_ids},
          "or its token ids (1 2 3), or a file of them; no BOS is added");
  add.choice("output", &generate.output, {"text", "ids"}, "what is printed");
  add.add("max_new_tokens", count(&generate.max_new_tokens, 1), "tokens of the answer, at most");
  add.add("temperature", not_negative(&generate.temperature),
          "of the softmax that tokens are drawn from; 0: always the most probable token");
  add.add("top_k", count(&generate.top_k, 0, kManyHeld),
          "draw from so many of the most probable tokens; 0: all");
  add.add("top_p", NumberField{&generate.top_p, 0.0, 1.0, true},
          "draw from the fewest most probable tokens that have this probability together");
  add.add("seed", SeedField{&generate.seed}, "of the draws");
  add.add("decode_buffer", count(&generate.decode_buffer, 0, kManyHeld),
          "compress while generating when the cache exceeds slots + decode_buffer");
  add.add("stop_at_eos", BoolField{&generate.stop_at_eos},
          "end with the tokenizer's end-of-text token");
  add.add("repetition_penalty", positive(&generate.repetition_penalty),
          "divides what speaks for a token that is in the prompt or the answer; 1: none");
  add.add("stop", TextsField{&generate.stop}, "texts that end the answer and are not part of it");
  add.add("chat", BoolField{&generate.chat},
          "talk: each line of standard input is a turn, and the history stays in the cache");
  add.text_choice("chat_template", &generate.chat_template,
                  {"auto", "none", "plain", "llama-2", "llama-3", "chatml", "longlora"},
                  "form of a conversation; auto: what the adapter's records had, else the model's "
                  "own");
  add.add("system", TextField{&generate.system},
          "first message of a conversation; empty: the template's own, if any");
  add.add("document", TextField{&generate.document},
          "text file that is read before the question or the conversation; -: standard input");
  add.add("question", TextField{&generate.question}, "asked about the document, or alone");
}

void add_bench(SchemaBuilder& add, BenchConfig& bench) {
  add.section("bench");
  add.add("warmup", count(&bench.warmup, 0), "iterations before the timed ones");
  add.add("repeat", count(&bench.repeat, 1), "timed iterations");
  add.add("batch", IntegersField{&bench.batch, 1, kMany},
          "sequences at a time, one measurement each; one or a list");
  add.add("contexts", IntegersField{&bench.contexts, 2, kMany},
          "tokens (memory, attention, prefill, decode); one or a list");
  add.add(
      "layouts", TextsField{&bench.layouts},
      "scaling: replicas x stages, a rank each, e.g. [1x1, 4x1, 2x2]; one or a list; empty: one "
      "rank alone, and all as replicas");
  add.add("new_tokens", count(&bench.new_tokens, 1), "decode: tokens that are generated");
  add.add("limit", BoolField{&bench.limit},
          "train-step: measure in the same run what library calls alone would take");
  add.add("output", TextField{&bench.output}, "JSON file; empty: print only");
  add.add("trace", TextField{&bench.trace},
          "Chrome trace file of one more iteration, whose kernels are listed too; empty: none");
  add.add("overwrite", BoolField{&bench.overwrite},
          "let output and trace replace files that are no results of ours, or symlinks");
}

}  // namespace

void add_run_sections(SchemaBuilder& add, Config& config) {
  add_train(add, config.train);
  add_run(add, config);
  add_eval(add, config.eval);
  add_export(add, config);
  add_generate(add, config.generate);
  add_bench(add, config.bench);
}

}  // namespace lococo
