"""A checkpoint's state.json that is not what a run wrote."""

import json
import os
import shutil

from counted import main
import tiny_files as tiny
from harness import Case
from trained import TrainedTest, with_value

WRONG = {"step": '"two"', "tokens_seen": "{}", "base_fingerprint": "5", "base_path": "[]",
         "adapter_path": "null", "git_revision": "7", "threads": '"one"', "world_size": "1.5e300",
         "trainable": '{"a": 1}', "cache": '"lococo"', "files": "[1, 2]", "format": '"1"'}
ODD = {"files": ('{"optimizer.safetensors": 5}', '{"optimizer.safetensors": null}', "null", "5",
                 '"all"', "{}", '{"../../tokens.bin": {"bytes": 1, "xxh64": "0"}}'),
       "step": ("-5", "1e300", "9223372036854775808", "true"),
       "trainable": ("[1]", "[[]]", "null"), "format": ("[]", "{}", "99"),
       "cache": ("[]", "null", "5")}


class State(TrainedTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(os.path.join(cls.trained, "state.json"), encoding="utf-8") as file:
            cls.state = json.load(file)

    def checkpoint(self, text):
        """A copy of the checkpoint with another state.json; None: with none."""
        made = self.tiny.fresh("checkpoint-")
        shutil.copytree(self.trained, made)
        os.remove(os.path.join(made, "state.json"))
        if text is not None:
            tiny.write_text(os.path.join(made, "state.json"), text)
        return made

    def changed(self, key, value):
        return with_value(json.dumps(self.state), key, value)

    def without(self, key):
        return json.dumps({name: value for name, value in self.state.items() if name != key})

    @staticmethod
    def blamed(text):
        """What the error line must name: the state, or the odd file that it lists."""
        return ("state.json", "tokens.bin") if text and "tokens.bin" in text else ("state.json",)

    def adapter(self, name, text):
        return Case(name, "eval", self.tiny.eval("model.adapter=" + self.checkpoint(text)),
                    mentions=self.blamed(text))

    def resume(self, name, text):
        return Case(name, "train", self.tiny.train("train.resume=" + self.checkpoint(text)),
                    mentions=self.blamed(text))

    def test_as_an_adapter(self):
        cases = [self.adapter(f"state.json, {key} is {WRONG[key]}", self.changed(key, WRONG[key]))
                 for key in ("files", "cache", "world_size", "trainable")]
        cases += [self.adapter(f"state.json, {key} is {value}", self.changed(key, value))
                  for key in ("files", "step") for value in ODD[key]]
        cases.append(self.adapter("state.json without files", self.without("files")))
        cases += [self.adapter(f"state.json is {name}", text) for name, text in
                  (("empty", ""), ("a list", "[]"), ("cut off", '{"format": 1'))]
        self.check(cases)

    def test_as_a_place_to_resume_from(self):
        cases = [self.resume(f"resume, {key} is {value}", self.changed(key, value))
                 for key in WRONG for value in ODD.get(key, (WRONG[key],))]
        cases += [self.resume(f"resume without {key}", self.without(key))
                  for key in ("files", "step", "cache", "format", "trainable")]
        cases.append(self.resume("resume of a folder without state.json", None))
        self.check(cases)

    def test_a_missing_state_is_not_taken_for_a_plain_adapter_in_silence(self):
        folder = self.checkpoint(None)
        said = lambda seen: "" if seen.code == 2 or "state.json" in seen.err else \
            "nothing says that the checkpoint has lost its state.json"
        self.check([Case("model.adapter is a checkpoint without state.json", "eval",
                         self.tiny.eval("model.adapter=" + folder), answer="either", after=said)])

    def test_an_output_with_a_damaged_state_loses_nothing(self):
        """The newest good checkpoint is looked for; what is damaged is passed over or refused."""
        cases = []
        for key, value in (("files", "[1, 2]"), ("step", '"two"'), ("trainable", '{"a": 1}')):
            folder = self.tiny.fresh("damaged-")
            shutil.copytree(self.run_folder, folder)
            tiny.write_text(os.path.join(folder, "step-00000002", "state.json"),
                            self.changed(key, value))
            cases.append(Case(f"train.output whose newest state.json has {key} {value}", "train",
                              self.tiny.train("train.output=" + folder), answer="either"))
        self.check(cases)

    def test_as_it_was_written_it_is_read(self):
        self.check([Case("a copied checkpoint", "eval", self.tiny.eval(
            "model.adapter=" + self.checkpoint(json.dumps(self.state))), answer="works")])


if __name__ == "__main__":
    main()
