"""Weights that are not numbers: refused where they come in, and never written out."""

import os

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, run

NAN, INFINITY = float("nan"), float("inf")
HEAD = "lm_head.weight"
QUERY = "model.layers.1.self_attn.q_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
NORM = "model.norm.weight"
LORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
CONV = "model.layers.1.self_attn.memory_saver.layers.0.weight"
NORMALIZER = "model.layers.0.self_attn.memory_saver.normalizer"


def checkpoints(folder):
    return [name for name in os.listdir(folder) if name.startswith("step-")] \
        if os.path.isdir(folder) else []


class NonFinite(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.tokenizer = tiny.make_tokenizer(cls.folder)

    def test_a_base_is_refused_by_every_tool(self):
        model = tiny.make_model(self.path("nan"), poison={QUERY: NAN})
        overrides = ["model.path=" + model]
        calls = [("eval", self.tiny.eval(*overrides)), ("train", self.tiny.train(*overrides)),
                 ("export", self.tiny.export(*overrides)),
                 ("bench", self.tiny.bench("prefill", *overrides))]
        if self.tokenizer:
            calls.append(("generate", self.tiny.generate("data.tokenizer=" + self.tokenizer,
                                                         *overrides)))
        cases = [Case(f"lococo-{tool} of a base that holds NaN", tool, arguments, mentions=(QUERY,))
                 for tool, arguments in calls]
        for name, poison in (("infinity in the head", {HEAD: INFINITY}),
                             ("minus infinity in a norm", {NORM: -INFINITY})):
            folder = tiny.make_model(self.tiny.fresh("model-"), poison=poison)
            cases.append(Case(f"lococo-eval of a base with {name}", "eval",
                              self.tiny.eval("model.path=" + folder), mentions=tuple(poison)))
        self.check(cases)

    def test_what_was_trained_is_refused(self):
        cases = []
        for name, make, tensor, value in (("LoRA with NaN", tiny.make_adapter, LORA, NAN),
                                          ("LoRA with infinity", tiny.make_adapter, LORA, INFINITY),
                                          ("a convolution with NaN", tiny.make_conv, CONV, NAN),
                                          ("a normalizer of NaN", tiny.make_conv, NORMALIZER, NAN)):
            folder = make(self.tiny.fresh("adapter-"), poison={tensor: value})
            plain = tensor.removeprefix("base_model.model.")
            for tool, arguments in (("eval", self.tiny.eval), ("export", self.tiny.export)):
                cases.append(Case(f"lococo-{tool} of {name}", tool,
                                  arguments("model.adapter=" + folder), mentions=(plain,)))
        good = tiny.make_conv(self.tiny.fresh("adapter-"))
        cases.append(Case("convolutions as they should be", "eval",
                          self.tiny.eval("model.adapter=" + good), answer="works"))
        self.check(cases)

    def test_an_evaluation_that_overflows_prints_no_result(self):
        """Every weight is a number, their products are not."""
        model = tiny.make_model(self.path("huge"), poison={NORM: 1e30, HEAD: 1e30})
        output = self.path("result.json")
        silent = lambda seen: "a result was printed" if "nan" in seen.out or "inf" in seen.out else \
            "a result was written" if os.path.exists(output) else ""
        self.check([
            Case("lococo-eval of a base whose NLL is not finite", "eval",
                 self.tiny.eval("model.path=" + model, "eval.output=" + output), after=silent),
            Case("lococo-train of a base whose loss is not finite", "train",
                 self.tiny.train("model.path=" + model)),
        ])

    def breaking(self, output, *more):
        """A run whose loss and gradient are fine, while weight decay makes one weight infinite.

        The huge weight stands in the row of a token that no text holds.
        """
        if not os.path.isdir(self.path("brittle")):
            tiny.make_model(self.path("brittle"), poison={EMBEDDING: 1e30})
            tiny.write_tokens(self.path("low.bin"), top=200)
        return self.tiny.train("model.path=" + self.path("brittle"),
                               "data.train=" + self.path("low.bin"), "train.output=" + output,
                               "tune.conv=null", "tune.lora=null", "checkpoint.every=1", *more)

    def test_a_step_that_breaks_a_weight_saves_no_checkpoint(self):
        cases = []
        for name, more in (("weight decay that overflows",
                            ("tune.embed=1e6", "train.weight_decay=1e12")),
                           ("an epsilon that is 0 in float32",
                            ("tune.embed=1e-3", "train.epsilon=1e-300"))):
            output = self.tiny.fresh("broken-")
            none = lambda seen, output=output: \
                f"saved {', '.join(checkpoints(output))}" if checkpoints(output) else ""
            cases.append(Case(name, "train", self.breaking(output, "train.steps=1", *more),
                              after=none))
        good = self.breaking(self.tiny.fresh("fine-"), "train.steps=1", "tune.embed=1e-3")
        cases.append(Case("the same run with neither", "train", good, answer="works"))
        self.check(cases)

    def test_what_was_saved_is_read_again(self):
        """Whatever a broken run left under a final name can be resumed and evaluated."""
        for epsilon in ("1e-300", "1e-30"):
            output = self.tiny.fresh("run-")
            arguments = self.tiny.train("train.output=" + output, "train.steps=3",
                                        "train.epsilon=" + epsilon, "checkpoint.every=1")
            run("train", *arguments)
            self.check([Case(f"train.epsilon={epsilon}: {step} can be evaluated", "eval",
                             self.tiny.eval("model.adapter=" + os.path.join(output, step)),
                             answer="works")
                        for step in checkpoints(output)])

    def test_the_last_good_checkpoint_stays(self):
        output = self.path("stays")
        good = run("train", *self.breaking(output, "train.steps=1", "tune.embed=1e-3"))
        self.assertEqual(good.code, 0, good.err)
        bad = self.breaking(output, "train.steps=3", "tune.embed=1e6", "train.weight_decay=1e12")
        same = lambda seen: "" if checkpoints(output) == ["step-00000001"] else \
            f"checkpoints are {', '.join(checkpoints(output))}"
        self.check([Case("a resumed run that breaks its weights", "train", bad, after=same)])


if __name__ == "__main__":
    main()
