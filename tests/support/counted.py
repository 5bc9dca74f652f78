"""The main of a script of unittest cases: runs them and prints the line that scripts/test.sh counts."""

import sys
import unittest


def main(verbosity=1):
    """Ends the process: 0 when no case failed, 4 when all of them were skipped."""
    sys.stdout.reconfigure(line_buffering=True)
    result = unittest.main(module="__main__", argv=sys.argv[:1], exit=False,
                           verbosity=verbosity).result
    # A case with several failed sub-tests is one that failed.
    failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if not result.wasSuccessful() else 4 if passed == 0 and skipped > 0 else 0)
