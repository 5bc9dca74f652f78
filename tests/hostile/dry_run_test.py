"""--dry-run refuses what the run itself would refuse, and computes and writes nothing."""

import os

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, run


class DryRun(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.tokenizer = tiny.make_tokenizer(cls.folder)

    def tools(self):
        yield "train", lambda *more: self.tiny.train(*more, *self.texts())
        yield "eval", self.tiny.eval
        yield "export", self.tiny.export
        if self.tokenizer:
            yield "generate", lambda *more: self.tiny.generate("data.tokenizer=" + self.tokenizer,
                                                               *more)

    def model_without(self, file):
        folder = tiny.make_model(self.tiny.fresh("model-"))
        os.remove(os.path.join(folder, file))
        return folder

    def cut_model(self):
        folder = tiny.make_model(self.tiny.fresh("model-"))
        os.truncate(os.path.join(folder, "model.safetensors"), 5000)
        return folder

    def other_shape(self):
        return tiny.make_model(self.tiny.fresh("model-"), hidden_size=64)

    def cut_adapter(self):
        folder = tiny.make_adapter(self.tiny.fresh("adapter-"))
        os.truncate(os.path.join(folder, "adapter_model.safetensors"), 200)
        return folder

    def adapter_of_another_model(self):
        folder = tiny.make_adapter(self.tiny.fresh("adapter-"))
        shapes = {name: (size[0] * 2, size[1] * 2) for name, size in tiny.adapter_shapes().items()}
        tiny.write_tensors(os.path.join(folder, "adapter_model.safetensors"), shapes)
        return folder

    def check_dry_runs(self, name, override):
        path = override.split("=", 1)[1]
        self.check([Case(f"lococo-{tool} --dry-run, {name}", tool, arguments(override, "--dry-run"),
                         mentions=(os.path.basename(path),)) for tool, arguments in self.tools()])

    def test_a_model_that_is_not_there_is_refused(self):
        self.check_dry_runs("no model folder", "model.path=" + self.path("nowhere"))
        self.check_dry_runs("no config.json", "model.path=" + self.model_without("config.json"))
        self.check_dry_runs("no weights", "model.path=" + self.model_without("model.safetensors"))

    def test_a_model_that_does_not_fit_is_refused(self):
        self.check_dry_runs("weights that are cut off", "model.path=" + self.cut_model())
        self.check_dry_runs("weights of another shape", "model.path=" + self.other_shape())

    def test_an_adapter_that_is_not_there_is_refused(self):
        self.check_dry_runs("no adapter folder", "model.adapter=" + self.path("nothing"))
        os.mkdir(self.path("empty"))
        self.check_dry_runs("an empty adapter folder", "model.adapter=" + self.path("empty"))

    def test_an_adapter_that_does_not_fit_is_refused(self):
        self.check_dry_runs("an adapter that is cut off", "model.adapter=" + self.cut_adapter())
        self.check_dry_runs("an adapter of another model",
                            "model.adapter=" + self.adapter_of_another_model())

    def test_sources_that_training_would_refuse_are_refused(self):
        form = self.path("book.pdf")
        tiny.write_text(form, "%PDF")
        for name, path, *more in (("no such file", self.path("nothing.txt")),
                                  ("a file of an unknown form", form),
                                  ("records that are no JSON", form, "data.records=" + form)):
            self.check([Case(f"lococo-train --dry-run, {name}", "train",
                             self.tiny.train("data.train=" + path, *more, *self.texts(), "--dry-run"),
                             mentions=(os.path.basename(path),))])

    def twice(self, name, tool, arguments, *parts):
        """The run and the dry run refuse alike."""
        self.check([Case(" ".join([f"lococo-{tool}", *more, name]), tool, [*arguments, *more], mentions=parts)
                    for more in ([], ["--dry-run"])])

    def test_what_evaluation_would_refuse_is_refused(self):
        for name, override, part in (("no texts", "data.validation=[]", "data.validation"),
                                     ("no such text", "data.validation=" + self.path("gone.bin"), "gone.bin"),
                                     ("too long a length", "eval.lengths=[48,4000]", "eval.lengths")):
            self.twice(name, "eval", self.tiny.eval(override, "eval.max_tokens=4000"), part)
        # A training that evaluates on its way would end there.
        lengths = ["data.validation=" + self.tiny.tokens, "eval.every=1", "eval.lengths=4000", "eval.max_tokens=4000"]
        self.twice("too long a length", "train", self.tiny.train(*lengths), "eval.lengths")

    def test_texts_whose_beginning_training_would_refuse_are_refused(self):
        if not self.tokenizer:
            self.skipTest("spm_train is missing")
        for name, text, part in (("empty.txt", b"", "is empty"), ("latin.txt", b"fa\xe7ade", "UTF-8"),
                                 ("story.jsonl", b'{"story": "x"}\n', "data.text_field")):
            path = tiny.write_bytes(self.path(name), text)
            self.twice(name, "train", self.tiny.train("data.train=" + path, *self.texts()), part)
            self.twice(name, "prepare", ["data.train=" + path, *self.texts()], part)

    def test_an_output_that_training_cannot_write_is_refused(self):
        file = tiny.write_text(self.path("a file"), "")
        for output in (file, file + "/run", "/dev/full", "/dev/full/run"):
            self.twice(f"train.output={output}", "train", self.tiny.train("train.output=" + output),
                       output + ": cannot create the folder")

    def test_a_checkpoint_that_training_would_not_go_on_from_is_refused(self):
        run_folder = self.path("begun")
        seen = run("train", *self.tiny.train("train.output=" + run_folder))
        self.assertEqual(seen.code, 0, seen.err)
        self.check([Case("lococo-train --dry-run of a run to go on with", "train",
                         self.tiny.train("train.output=" + run_folder, "--dry-run"), answer="works")])
        self.twice("another seed", "train", self.tiny.train("train.output=" + run_folder, "train.seed=9"),
                   "belongs to another run: train.seed")
        self.twice("a run to leave alone", "train",
                   self.tiny.train("train.output=" + run_folder, "train.resume=never"), "holds a run already")
        self.twice("no such checkpoint", "train", self.tiny.train("train.resume=" + self.path("nowhere")), "nowhere")
        self.twice("another seed, by its path", "train",
                   self.tiny.train("train.resume=" + os.path.join(run_folder, "step-00000002"), "train.seed=9"),
                   "belongs to another run: train.seed")

    def test_what_cannot_be_exported_is_refused(self):
        conv = "model.adapter=" + tiny.make_conv(self.tiny.fresh("conv-"))
        lora = "model.adapter=" + tiny.make_adapter(self.tiny.fresh("adapter-"))
        file = tiny.write_text(self.path("in the way"), "")
        for name, part, *overrides in (
                ("no adapter", "set model.adapter", "export.kind=adapter"),
                ("convolutions alone as an adapter", "none but convolutions", "export.kind=adapter", conv),
                ("random convolutions", "set model.adapter", "export.kind=conv"),
                ("random convolutions beside LoRA", "none but LoRA", "export.kind=conv", lora),
                ("options that the official code lacks", "the official code only", "export.kind=official_conv", conv),
                ("an output under a file", "cannot create the folder", "export.output=" + file + "/out")):
            self.twice(name, "export", self.tiny.export(*overrides), part)

    def test_benchmarks_look_at_the_model(self):
        for key in ("model.path", "model.adapter"):
            self.twice(f"no such {key}", "bench", self.tiny.bench("prefill", f"{key}=" + self.path("nowhere")), "nowhere")

    def test_what_training_asks_for_is_asked_for(self):
        for name, part, *given in (("no output", "train.output", "train.output="),
                                   ("nothing to train on", "data.train", "data.train=[]"),
                                   ("nothing to train", "tune: nothing is trained", "tune.conv=null", "tune.lora=null")):
            for more in ([], ["--dry-run"]):
                self.check([Case(" ".join(["lococo-train", *more, name]), "train",
                                 self.tiny.train(*given, *more, *self.texts()), mentions=(part,))])

    def test_prompts_that_generation_would_refuse_are_refused(self):
        for name, override, part in (("two prompts", "generate.prompt_ids=1 2", "is given too"),
                                     ("a prompt beside a conversation", "generate.chat=true", "is given too"),
                                     ("a stop text for ids", "generate.stop=[a]", "generate.stop")):
            ids = ["generate.output=ids", "generate.prompt=", "generate.prompt_ids=1"] if "ids" in name else []
            for more in ([], ["--dry-run"]):
                self.check([Case(" ".join(["lococo-generate", *more, name]), "generate",
                                 self.tiny.generate(override, *ids, *more, *self.texts()), mentions=(part,))])

    def test_an_empty_stop_text_is_refused(self):
        if not self.tokenizer:
            self.skipTest("spm_train is missing")
        self.twice("an empty stop text", "generate", self.tiny.generate('generate.stop=["a", ""]', *self.texts()),
                   "generate.stop")

    def texts(self):
        return ["data.tokenizer=" + self.tokenizer] if self.tokenizer else []

    def test_what_is_right_works_and_writes_nothing(self):
        before = sorted(os.listdir(self.folder))
        adapter = tiny.make_conv(self.path("conv"))
        self.check([Case(f"lococo-{tool} --dry-run of what is right", tool,
                         arguments("model.adapter=" + adapter, "--dry-run"), answer="works")
                    for tool, arguments in self.tools()])
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*before, "conv"]))


if __name__ == "__main__":
    main()
