#!/usr/bin/env python3
"""The summary counts test cases, and never takes a crash, a skip or an empty run for a pass."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import test_summary  # noqa: E402


SKIPPED = ('<testcase name="s" time="0" status="notrun"><skipped message="SKIP_RETURN_CODE=4"/>'
           "<system-out>0 passed, 0 failed, 3 skipped\n</system-out></testcase>")


def case(name, status, output=""):
    return (f'<testcase name="{name}" time="1.0" status="{status}">'
            f"<system-out>{output}</system-out></testcase>")


class TestSummary(unittest.TestCase):

    def summary(self, *cases):
        """(last line, exit code) of the summary of a report that holds these cases."""
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.xml"
            report.write_text(f"<testsuite>{''.join(cases)}</testsuite>")
            return self.run_main(report)

    def run_main(self, report):
        printed = io.StringIO()
        sys.argv = ["test_summary.py", str(report)]
        with contextlib.redirect_stdout(printed):
            code = test_summary.main()
        return printed.getvalue().splitlines()[-1], code

    def test_the_counts_of_the_executables_are_added(self):
        self.assertEqual(
            self.summary(case("a", "run", "x\n3 passed, 0 failed, 1 skipped\n"),
                         case("b", "run", "4 passed, 0 failed, 0 skipped\n")),
            ("7 passed, 0 failed, 1 skipped", 0))

    def test_a_test_without_counts_is_one(self):
        self.assertEqual(self.summary(case("a", "run", "fine")),
                         ("1 passed, 0 failed, 0 skipped", 0))

    def test_a_failure_is_counted_and_sets_the_exit_code(self):
        self.assertEqual(self.summary(case("a", "fail", "2 passed, 1 failed, 0 skipped\n")),
                         ("2 passed, 1 failed, 0 skipped", 1))

    def test_a_crash_after_all_cases_passed_is_a_failure(self):
        self.assertEqual(self.summary(case("a", "fail", "2 passed, 0 failed, 0 skipped\n")),
                         ("2 passed, 1 failed, 0 skipped", 1))

    def test_a_crash_without_counts_is_a_failure(self):
        self.assertEqual(self.summary(case("a", "fail")), ("0 passed, 1 failed, 0 skipped", 1))

    def test_a_test_that_only_skipped_is_not_a_pass(self):
        self.assertEqual(
            self.summary(SKIPPED, case("b", "run", "1 passed, 0 failed, 0 skipped\n")),
            ("1 passed, 0 failed, 3 skipped", 0))

    def test_an_executable_that_was_not_built_is_a_failure(self):
        missing = ('<testcase name="a" time="0" status="notrun">'
                   '<skipped message="Unable to find executable"/></testcase>')
        self.assertEqual(self.summary(missing), ("0 passed, 1 failed, 0 skipped", 1))

    def test_no_test_at_all_is_a_failure(self):
        self.assertEqual(self.summary(), ("0 passed, 1 failed, 0 skipped", 1))

    def test_a_missing_report_is_a_failure(self):
        self.assertEqual(self.run_main("/nonexistent/report.xml"),
                         ("0 passed, 1 failed, 0 skipped", 1))


if __name__ == "__main__":
    unittest.main()
