# shellcheck shell=bash
# What demo.sh and demo_smollm2.sh begin with; they source it. `texts` are the files that were given.

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
