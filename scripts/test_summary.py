#!/usr/bin/env python3
"""Sums up a ctest JUnit report: one line for each test, then "N passed, N failed, N skipped".

A test executable prints how many of its test cases passed, failed and were skipped, and those are
what is counted. A test that prints no such line, or that died after it, counts as one.

Usage: test_summary.py REPORT.xml       exit code 0 when tests ran and none failed
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)


def count(case):
    """(passed, failed, skipped) of one <testcase>."""
    status = case.get("status")
    lines = COUNTS.findall(case.findtext("system-out") or "")
    passed, failed, skipped = map(int, lines[-1]) if lines else (0, 0, 0)
    # ctest says "notrun" for the skip return code and for an executable that is not there.
    skip = case.find("skipped")
    if status == "notrun" and skip is not None and skip.get("message", "").startswith("SKIP_"):
        passed, failed, skipped = 0, 0, max(skipped, 1)
    elif status != "run":
        failed = max(failed, 1)
    elif not lines:
        passed = 1
    return passed, failed, skipped


def main():
    try:
        cases = list(ElementTree.parse(sys.argv[1]).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"no test report: {error}")
        cases = []
    total = [0, 0, 0]
    for case in cases:
        counts = count(case)
        total = [a + b for a, b in zip(total, counts)]
        mark = "FAILED" if counts[1] else "passed" if counts[0] else "skipped"
        print(f"{mark:8}{case.get('name'):32}{counts[0]:5} passed {counts[1]:4} failed "
              f"{counts[2]:4} skipped {float(case.get('time', 0)):8.1f} s")
    if not cases:
        total[1] = 1  # nothing ran: that is no success
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
