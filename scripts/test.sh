#!/usr/bin/env bash
# Builds the release preset and runs every test that needs no GPU. The last line is
# "N passed, N failed, N skipped", counted in test cases; the exit code is 0 when none failed.
#
# Usage: scripts/test.sh [options of ctest, for example -L unit or -R model]
# LOCOCO_FIXTURES=folder: where the reference tensors are; a missing one is then a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in -h | --help) sed -n '2,6s/^# \{0,1\}//p' scripts/test.sh; exit 0 ;; esac

scripts/bootstrap.sh release

build=build/release
report=$build/test_report.xml
code=0
rm -f "$report"
# Several at once: most of them are short of work for two cores.
jobs=$(nproc)
[ "$jobs" -le 4 ] || jobs=4
# The counts stand at the end of a test's output: what is too long is cut at its head.
ctest --test-dir "$build" -LE gpu -j "$jobs" --output-on-failure --no-tests=error --timeout 900 \
  --output-junit "$(pwd)/$report" --test-output-size-passed 65536 --test-output-size-failed 262144 \
  --test-output-truncation head "$@" || code=1
python3 scripts/test_summary.py "$report" || code=1
exit $code
