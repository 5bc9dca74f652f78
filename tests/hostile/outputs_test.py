"""Files that a user names for results: nothing but our own results is ever replaced."""

import os

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, make_special, run

OURS = '{"git_revision": "0123abc"}\n'
PRECIOUS = "years of work\n"


def unchanged(path):
    """A check that whatever stands under the name is the same afterwards, content included."""
    def state():
        status = os.lstat(path)
        content = ""
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                content = file.read()
        return status.st_ino, status.st_mode, content

    before = state()
    return lambda seen: "" if os.path.lexists(path) and state() == before else "it was replaced"


class Outputs(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.made = 0

    def commands(self):
        """(key, tool, what the tool is given besides the output)"""
        yield "eval.output", "eval", lambda *more: self.tiny.eval(*more)
        yield "bench.output", "bench", lambda *more: self.tiny.bench("conv", *more)
        yield "bench.trace", "bench", lambda *more: self.tiny.bench("prefill", *more)

    def fresh(self, kind):
        type(self).made += 1
        return self.path(f"{kind}{self.made}.json")

    def test_what_is_no_plain_file_is_always_refused(self):
        cases = []
        for key, tool, arguments in self.commands():
            for kind in ("folder", "FIFO", "socket", "device"):
                path = self.fresh(kind)
                if not make_special(path, kind):
                    continue
                cases.append(Case(f"{key} is a {kind}", tool, arguments(f"{key}={path}"),
                                  mentions=(path, key), after=unchanged(path)))
        for kind in ("folder", "FIFO"):
            path = self.fresh(kind)
            make_special(path, kind)
            overwrite = self.tiny.eval(f"eval.output={path}", "eval.overwrite=true")
            cases.append(Case(f"eval.output is a {kind}, eval.overwrite=true", "eval", overwrite,
                              mentions=(path, "eval.output: "), after=unchanged(path)))
        self.check(cases)

    def test_a_file_that_is_not_ours_is_refused(self):
        cases = []
        for key, tool, arguments in self.commands():
            foreign = tiny.write_text(self.fresh("foreign"), PRECIOUS)
            cases.append(Case(f"{key} is somebody's file", tool, arguments(f"{key}={foreign}"),
                              mentions=(foreign, key), after=unchanged(foreign)))
            link = self.fresh("link")
            os.symlink(tiny.write_text(self.fresh("target"), PRECIOUS), link)
            cases.append(Case(f"{key} is a symlink to somebody's file", tool,
                              arguments(f"{key}={link}"), mentions=(link, key),
                              after=unchanged(link)))
        other_json = tiny.write_text(self.fresh("json"), '{"loss": 1}\n')
        cases.append(Case("eval.output is JSON of another program", "eval",
                          self.tiny.eval(f"eval.output={other_json}"), mentions=(other_json,),
                          after=unchanged(other_json)))
        self.check(cases)

    def test_it_is_refused_before_any_work(self):
        foreign = tiny.write_text(self.fresh("foreign"), PRECIOUS)
        nowhere = "model.path=" + self.path("nowhere")
        self.check([
            Case("eval.output is looked at before the model", "eval",
                 self.tiny.eval(f"eval.output={foreign}", nowhere), mentions=(foreign,)),
            Case("bench.output is looked at before the model", "bench",
                 self.tiny.bench("conv", f"bench.output={foreign}", nowhere), mentions=(foreign,)),
            Case("bench.trace is looked at before the model", "bench",
                 self.tiny.bench("prefill", f"bench.trace={foreign}", nowhere), mentions=(foreign,)),
        ])

    def test_our_own_results_an_empty_file_and_what_is_given_up_are_replaced(self):
        def written(path):
            def look(_):
                with open(path, encoding="utf-8") as file:
                    return "" if "git_revision" in file.read() else "no result was written"
            return look

        ours = tiny.write_text(self.fresh("ours"), OURS)
        empty = tiny.write_text(self.fresh("empty"), "")
        foreign = tiny.write_text(self.fresh("foreign"), PRECIOUS)
        bench_foreign = tiny.write_text(self.fresh("foreign"), PRECIOUS)
        self.check([
            Case("eval.output is a result of ours", "eval", self.tiny.eval(f"eval.output={ours}"),
                 answer="works", after=written(ours)),
            Case("eval.output is empty", "eval", self.tiny.eval(f"eval.output={empty}"),
                 answer="works", after=written(empty)),
            Case("eval.overwrite=true", "eval",
                 self.tiny.eval(f"eval.output={foreign}", "eval.overwrite=true"),
                 answer="works", after=written(foreign)),
            Case("bench.overwrite=true", "bench",
                 self.tiny.bench("conv", f"bench.output={bench_foreign}", "bench.overwrite=true"),
                 answer="works", after=written(bench_foreign)),
        ])

    def test_what_a_tool_wrote_it_replaces(self):
        path = self.path("twice.json")
        for attempt in ("first", "second"):
            seen = run("eval", *self.tiny.eval(f"eval.output={path}"))
            self.report(f"eval.output, {attempt} time", seen, "")
            self.assertEqual(seen.code, 0, seen.err)
        left = [name for name in os.listdir(self.folder) if name.startswith("twice.json.")]
        self.assertEqual(left, [], "a temporary file stays behind")


if __name__ == "__main__":
    main()
