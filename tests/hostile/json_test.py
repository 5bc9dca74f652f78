"""JSON that is too deep or says a thing twice, wherever JSON is read."""

import json
import os
import shutil
import struct

from counted import main
import tiny_files as tiny
from harness import Case
from trained import TrainedTest, with_value

DEEP = '{"a": ' * 300_000 + "1" + "}" * 300_000
TOO_DEEP = "[" * 101 + "]" * 101
DEEP_LIST = "[" * 300_000 + "]" * 300_000
DEEP_ENOUGH = "[" * 50 + "]" * 50


def with_extra(text, key, value):
    """A JSON object's text with one more member, which need not be unique."""
    return text.rstrip()[:-1] + f', "{key}": {value}}}'


class Json(TrainedTest):

    def places(self):
        """(file, folder that holds it, arguments of eval for a folder like it)"""
        adapter = tiny.make_adapter(self.fresh("adapter"))
        conv = tiny.make_conv(self.fresh("conv"))
        sharded = tiny.make_model(self.fresh("sharded"))
        os.rename(os.path.join(sharded, "model.safetensors"), os.path.join(sharded, "one.safetensors"))
        tiny.write_json(os.path.join(sharded, "model.safetensors.index.json"),
                        {"weight_map": {name: "one.safetensors" for name in tiny.model_shapes()}})
        as_model = lambda folder: self.tiny.eval("model.path=" + folder)
        as_adapter = lambda folder: self.tiny.eval("model.adapter=" + folder)
        yield "config.json", self.tiny.model, as_model
        yield "model.safetensors.index.json", sharded, as_model
        yield "adapter_config.json", adapter, as_adapter
        yield "lococo_config.json", conv, as_adapter
        yield "state.json", self.trained, as_adapter

    def fresh(self, name):
        return self.tiny.fresh(name + "-")

    def copy(self, folder, file, change):
        """A copy of a folder in which the text of one file is `change` of it."""
        made = self.fresh("copy")
        shutil.copytree(folder, made)
        path = os.path.join(made, file)
        with open(path, encoding="utf-8") as source:
            text = source.read()
        tiny.write_text(path, change(text))
        return made

    def test_a_file_that_is_too_deep_is_refused(self):
        cases = []
        for file, folder, arguments in self.places():
            for name, change in (
                    ("300,000 levels deep", lambda text: DEEP),
                    ("with a member 101 levels deep", lambda text: with_extra(text, "x", TOO_DEEP))):
                cases.append(Case(f"{file} {name}", "eval",
                                  arguments(self.copy(folder, file, change)), mentions=(file,)))
        self.check(cases)

    def test_a_deep_value_of_a_known_key_is_refused(self):
        """Messages quote such values, and writing them down needs a stack as deep."""
        keys = {"config.json": ("architectures", "model_type", "hidden_size"),
                "model.safetensors.index.json": ("weight_map",),
                "adapter_config.json": ("use_dora", "peft_type", "init_lora_weights"),
                "lococo_config.json": ("slots",),
                "state.json": ("format", "cache", "files", "step")}
        cases = []
        for file, folder, arguments in self.places():
            for key in keys[file]:
                change = lambda text, key=key: with_value(text, key, DEEP_LIST)
                cases.append(Case(f"{file}, {key} 300,000 levels deep", "eval",
                                  arguments(self.copy(folder, file, change)), mentions=(file,)))
        self.check(cases)

    def test_a_key_given_twice_is_refused(self):
        twice = {"config.json": ("hidden_size", "32"),
                 "model.safetensors.index.json": ("weight_map", '{"lm_head.weight": "one.safetensors"}'),
                 "adapter_config.json": ("r", str(tiny.RANK)),
                 "lococo_config.json": ("slots", str(tiny.SLOTS)),
                 "state.json": ("step", "2")}
        cases = []
        for file, folder, arguments in self.places():
            change = lambda text, file=file: with_extra(text, *twice[file])
            cases.append(Case(f"{file} gives {twice[file][0]} twice", "eval",
                              arguments(self.copy(folder, file, change)), mentions=(file,)))
        self.check(cases)

    def test_a_state_that_is_too_deep_does_not_crash_a_resume(self):
        for_resume = self.copy(self.trained, "state.json", lambda text: DEEP)
        run_folder = self.fresh("damaged")
        shutil.copytree(self.run_folder, run_folder)
        tiny.write_text(os.path.join(run_folder, "step-00000002", "state.json"), DEEP)
        self.check([
            Case("train.resume of a state.json 300,000 levels deep", "train",
                 self.tiny.train("train.resume=" + for_resume), mentions=("state.json",)),
            Case("an output whose newest state.json is 300,000 levels deep", "train",
                 self.tiny.train("train.output=" + run_folder), answer="either"),
        ])

    def test_what_is_deep_enough_for_anybody_is_read(self):
        change = lambda text: with_extra(text, "x", DEEP_ENOUGH)
        folder = self.copy(self.tiny.model, "config.json", change)
        self.check([Case("config.json with a member 50 levels deep", "eval",
                         self.tiny.eval("model.path=" + folder), answer="works")])

    def test_the_header_of_a_weight_file(self):
        def spoiled(change):
            folder = self.fresh("header")
            shutil.copytree(self.tiny.model, folder)
            path = os.path.join(folder, "model.safetensors")
            with open(path, "rb") as file:
                content = file.read()
            size = struct.unpack("<Q", content[:8])[0]
            header = change(content[8:8 + size].decode("ascii")).encode("ascii")
            tiny.write_bytes(path, struct.pack("<Q", len(header)) + header + content[8 + size:])
            return self.tiny.eval("model.path=" + folder)

        norm = json.dumps({"dtype": "F32", "shape": [tiny.HIDDEN], "data_offsets": [0, 4 * tiny.HIDDEN]})
        self.check([
            Case("a safetensors header 300,000 levels deep", "eval", spoiled(lambda text: DEEP),
                 mentions=("model.safetensors",)),
            Case("a safetensors header with metadata 101 levels deep", "eval",
                 spoiled(lambda text: with_extra(text, "__metadata__", TOO_DEEP)),
                 mentions=("model.safetensors",)),
            Case("a safetensors header that names a tensor twice", "eval",
                 spoiled(lambda text: with_extra(text, "model.norm.weight", norm)),
                 mentions=("model.safetensors",)),
        ])

    def test_records_of_data(self):
        tokenizer = tiny.make_tokenizer(self.folder)
        if not tokenizer:
            self.skipTest("spm_train is not installed")
        cases = []
        for name, line in (
                ("300,000 levels deep", '{"text": "words", "x": ' + DEEP + "}"),
                ("300,000 open brackets", '{"text": ' + "[" * 300_000),
                ("that gives its text twice", '{"text": "one", "text": "other"}')):
            data = tiny.write_text(self.fresh("data") + ".jsonl", line + "\n")
            cases.append(Case(f"a JSONL record {name}", "prepare",
                              ["data.tokenizer=" + tokenizer, "data.train=" + data],
                              mentions=(data,)))
        self.check(cases)


if __name__ == "__main__":
    main()
