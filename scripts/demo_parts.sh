# shellcheck shell=bash
# What demo.sh and demo_smollm2.sh have in common; they source it. `texts` are the files that were given.

fail() { echo "demo: $*" >&2; exit 2; }
usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }

started=$SECONDS
say() { printf 'demo [%3d s] %s\n' $((SECONDS - started)) "$*"; }

# Takes an argument that both know: --help, or a file.
texts=()
take_argument() {
  case $1 in
    -h | --help) usage; exit 0 ;;
    -*) fail "unknown option '$1'; see --help" ;;
    *) [ -f "$1" ] || fail "$1: no such file"; texts+=("$(realpath "$1")") ;;
  esac
}

# Goes to the project's folder. `bin`: LOCOCO_BIN, else the tools, which are built first; those that
# are named must be there.
find_tools() {
  bin=${LOCOCO_BIN:+$(realpath "$LOCOCO_BIN")}
  cd "$(dirname "$0")/.." || exit
  if [ -z "$bin" ]; then
    scripts/bootstrap.sh release --tools-only
    bin=$PWD/build/release/bin
  fi
  local tool
  for tool; do
    [ -x "$bin/lococo-$tool" ] || fail "$bin/lococo-$tool is missing"
  done
  started=$SECONDS
}

# From here on what start() is given runs in the background, one a CPU at a time; it ends with the
# script, and the script with the first that fails.
side_by_side() {
  pids=()
  running=0
  trap stop_all EXIT
  trap "exit 130" INT
  trap "exit 143" TERM
  set -m  # each in a process group of its own, so that stop_all reaches the tools too
}
stop_all() { for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null || true; done; }
wait_for_one() { wait -n; running=$((running - 1)); }
start() {
  [ "$running" -lt "$(nproc)" ] || wait_for_one
  "$@" &
  pids+=($!)
  running=$((running + 1))
}
wait_for_all() { while [ "$running" -gt 0 ]; do wait_for_one; done; }
