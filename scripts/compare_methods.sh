#!/usr/bin/env bash
# Every method of the framework on one base, on equal tokens and seeds: compare_methods.py, after
# the tools are built.
#
# Usage: scripts/compare_methods.sh [SETTING] [--dry-run] [--minutes N] [...]     --help says more
# LOCOCO_BIN=folder: use these tools and build nothing.
set -euo pipefail

bin=${LOCOCO_BIN:+$(realpath "$LOCOCO_BIN")}
cd "$(dirname "$0")/.."
python=python3
[ ! -x .venv/bin/python ] || python=.venv/bin/python
needs_tools=yes
for word in "$@"; do
  case $word in -h | --help | --dry-run | --table) needs_tools=no ;; esac
done
if [ -z "$bin" ] && [ $needs_tools = yes ]; then
  scripts/bootstrap.sh release --tools-only
fi
exec "$python" scripts/compare_methods.py --bin "${bin:-$PWD/build/release/bin}" "$@"
