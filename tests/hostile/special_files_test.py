"""FIFOs, sockets, devices and folders where a file is to be read: refused at once, never waited for."""

import os
import shutil

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, make_special, slug

AT_ONCE_S = 8


class SpecialFiles(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.tokenizer = tiny.make_tokenizer(cls.folder)

    def spoiled(self, name, make, file, kind):
        """A folder that `make` fills, in which one file is something else; "" if not permitted."""
        folder = make(self.path(slug(f"{name} {kind}")))
        path = os.path.join(folder, file)
        if os.path.lexists(path):
            os.remove(path)
        return folder if make_special(path, kind) else ""

    def case(self, name, tool, arguments, path):
        return Case(name, tool, arguments, mentions=(path,), timeout=AT_ONCE_S)

    def test_as_a_part_of_a_model(self):
        def sharded(folder):
            tiny.make_model(folder)
            os.remove(os.path.join(folder, "model.safetensors"))
            index = {"weight_map": {name: "one.safetensors" for name in tiny.model_shapes()}}
            tiny.write_json(os.path.join(folder, "model.safetensors.index.json"), index)
            return folder

        cases = []
        for kind in ("FIFO", "socket", "device", "folder"):
            for file, make in (("config.json", tiny.make_model),
                               ("model.safetensors", tiny.make_model),
                               ("one.safetensors", sharded)):
                folder = self.spoiled("model " + file, make, file, kind)
                if folder:
                    cases.append(self.case(f"{file} is a {kind}", "eval",
                                           self.tiny.eval("model.path=" + folder), file))
        for kind in ("FIFO", "folder"):
            file = "model.safetensors.index.json"
            folder = self.spoiled("model index", sharded, file, kind)
            cases.append(self.case(f"{file} is a {kind}", "eval",
                                   self.tiny.eval("model.path=" + folder), file))
        self.check(cases)

    def test_as_a_part_of_an_adapter(self):
        cases = []
        for kind in ("FIFO", "socket", "folder"):
            for file, make in (("adapter_config.json", tiny.make_adapter),
                               ("adapter_model.safetensors", tiny.make_adapter),
                               ("lococo_config.json", tiny.make_conv),
                               ("lococo.safetensors", tiny.make_conv)):
                folder = self.spoiled("adapter " + file, make, file, kind)
                cases.append(self.case(f"{file} is a {kind}", "eval",
                                       self.tiny.eval("model.adapter=" + folder), file))
        for kind in ("FIFO", "folder"):
            folder = self.spoiled("adapter state", tiny.make_adapter, "state.json", kind)
            cases.append(self.case(f"state.json is a {kind}", "eval",
                                   self.tiny.eval("model.adapter=" + folder), "state.json"))
            cases.append(self.case(f"state.json of train.resume is a {kind}", "train",
                                   self.tiny.train("train.resume=" + folder), "state.json"))
        self.check(cases)

    def test_as_data(self):
        cases = []
        for kind in ("FIFO", "socket", "device"):
            path = self.path(f"data-{kind}.bin")
            if make_special(path, kind):
                cases.append(self.case(f"data.validation is a {kind} named .bin", "eval",
                                       self.tiny.eval("data.validation=" + path), path))
        if self.tokenizer:
            for kind in ("FIFO", "socket", "device"):
                for ending in ("txt", "jsonl", "jsonl.zst"):
                    path = self.path(f"text-{kind}.{ending}")
                    if make_special(path, kind):
                        arguments = ["data.tokenizer=" + self.tokenizer, "data.train=" + path]
                        cases.append(self.case(f"data.train is a {kind} named .{ending}", "prepare",
                                               arguments, path))
        self.check(cases)

    def test_as_a_tokenizer(self):
        text = tiny.write_text(self.path("some.txt"), "words and words\n")
        cases = []
        for kind in ("FIFO", "socket", "device", "folder"):
            path = self.path(f"tokenizer-{kind}.model")
            if make_special(path, kind):
                arguments = ["data.tokenizer=" + path, "data.train=" + text]
                cases.append(self.case(f"data.tokenizer is a {kind}", "prepare", arguments, path))
        folder = self.path("model-with-fifo")
        shutil.copytree(self.tiny.model, folder)
        make_special(os.path.join(folder, "tokenizer.model"), "FIFO")
        cases.append(self.case("tokenizer.model in model.path is a FIFO", "prepare",
                               ["model.path=" + folder, "data.train=" + text], "tokenizer.model"))
        cases.append(self.case("tokenizer.model to be exported is a FIFO", "export",
                               self.tiny.export("model.path=" + folder), "tokenizer.model"))
        self.check(cases)

    def test_a_folder_as_config_or_prompt(self):
        folder = self.path("a-folder")
        os.mkdir(folder)
        cases = [self.case("the config file is a folder", "prepare", [folder], folder)]
        if self.tokenizer:
            prompt = self.tiny.generate("data.tokenizer=" + self.tokenizer, "generate.prompt=",
                                        "generate.prompt_file=" + folder)
            cases.append(self.case("generate.prompt_file is a folder", "generate", prompt, folder))
        self.check(cases)


if __name__ == "__main__":
    main()
