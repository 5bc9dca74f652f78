"""The judge itself: a harness that lets a fault pass would make every other test worthless."""

import os

import harness
from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, Seen, run, why_not_refused

ERROR = "lococo-eval: error: model.path: there is no such folder\n"


def seen(code=2, err=ERROR, fate=""):
    return Seen(code, "", err, 0.1, fate)


class Judge(HostileTest):
    def judge(self, **what):
        return why_not_refused("eval", seen(**what), mentions=("model.path",))

    def test_one_line_and_exit_code_2_is_a_refusal(self):
        self.assertEqual(self.judge(), "")
        self.assertEqual(self.judge(err="[12:00:00] info: loading\n" + ERROR), "")

    def test_everything_else_is_none(self):
        for name, what in {
                "success": {"code": 0}, "an internal error": {"code": 1}, "a signal": {"code": -11},
                "a hang": {"fate": "hung"}, "silence": {"err": ""}, "two lines": {"err": ERROR * 2},
                "another tool": {"err": ERROR.replace("eval", "train")},
                "a fault called internal": {"err": ERROR[:-1] + " (internal; --debug says more)\n"},
                "a line that goes on": {"err": ERROR + "Exception raised from alloc_cpu\n"},
                "another place": {"err": ERROR.replace("model.path", "data.train")}}.items():
            with self.subTest(name):
                self.assertNotEqual(self.judge(**what), "")

    def test_what_should_work_must_not_be_refused(self):
        case = Case("a case", "eval", [], answer="works")
        self.assertEqual(case.judge(seen(code=0, err="")), "")
        self.assertNotEqual(case.judge(seen()), "")

    def test_either_means_never_a_crash(self):
        case = Case("a case", "eval", [], answer="either")
        self.assertEqual(case.judge(seen(code=0, err="")), "")
        self.assertEqual(case.judge(seen()), "")
        self.assertNotEqual(case.judge(seen(code=-7, err="")), "")

    def test_what_took_too_long_or_did_harm_is_wrong(self):
        self.assertNotEqual(Case("a case", "eval", [], seconds=0.05).judge(seen()), "")
        harm = Case("a case", "eval", [], after=lambda _: "it was replaced")
        self.assertEqual(harm.judge(seen()), "it was replaced")

    def test_a_tool_that_hangs_is_stopped_with_all_that_it_started(self):
        script = tiny.write_text(self.path("lococo-sleeper"), "#!/bin/sh\nsleep 60\n")
        os.chmod(script, 0o755)
        self.addCleanup(setattr, harness, "BIN", harness.BIN)
        harness.BIN = self.folder
        hung = run("sleeper", timeout=0.3)
        self.assertTrue(hung.fate.startswith("hung"), hung)
        self.assertLess(hung.seconds, 10)  # the pipe that sleep holds is closed too


if __name__ == "__main__":
    main()
