"""Which folders scripts/lococo_transformers.py takes for a memory and for its base, and what it says
of the others: one line, the tools' own where they refuse the same.

Usage: lococo_folders_test.py, with the folder of the tools in LOCOCO_BIN. Exit code 4: transformers
or PEFT is not installed.
"""

import json
import os
import pathlib
import shutil

import tiny_files as tiny
from counted import main
from memory_case import Base, MemoryCase, interop, make_export, run_script, run_tool, tool


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
GATE = "model.layers.1.self_attn.memory_saver.retention."


class LococoFolders(MemoryCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_folder = pathlib.Path(cls.train("run"))
        cls.checkpoint = cls.run_folder / "step-00000001"
        cls.export = os.path.join(cls.folder, "export")
        tool("export", f"model.path={cls.model}", f"model.adapter={cls.checkpoint}",
             "export.kind=conv", f"export.output={cls.export}")

    def copy(self, folder, without=(), **files):
        """A copy of a folder, without some files and with others; their dots are underlines."""
        made = pathlib.Path(self.fresh()) / "copy"
        shutil.copytree(folder, made)
        for name in without:
            (made / name).unlink()
        for name, content in files.items():
            (made / name.replace("__", ".")).write_text(content)
        return made

    def said_by_the_tools(self, model, adapter):
        done = run_tool("generate", f"model.path={model}", f"model.adapter={adapter}",
                        "generate.prompt_ids=1 2", "generate.output=ids")
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr.splitlines()[-1]

    def test_a_memory_of_another_base_is_refused_as_the_tools_do(self):
        others = {"weights": self.make_model("other", max_position_embeddings=512,
                                             poison={"model.norm.weight": 1.25}),
                  "rms_norm_eps, rope_theta or rope_scaling": self.make_model(
                      "warped", max_position_embeddings=512, rope_theta=20000.0)}
        for difference, model in others.items():
            for folder in (self.run_folder, self.checkpoint, self.export):
                with self.subTest(f"{difference}: {folder}"):
                    said = self.refused(f"other {difference}", model, folder)
                    common = said[:said.index("; give")].replace(model, "model.path")
                    self.assertIn(common, self.said_by_the_tools(model, folder))

    def test_a_base_in_shards_is_the_same_base(self):
        whole = pathlib.Path(self.model)
        sharded = self.copy(whole, without=["model.safetensors"])
        shards, index = {"a": {}, "b": {}}, {}
        content = (whole / "model.safetensors").read_bytes()
        length = int.from_bytes(content[:8], "little")
        for number, (name, entry) in enumerate(json.loads(content[8:8 + length]).items()):
            shards["ab"[number % 2]][name] = entry
            index[name] = f"{'ab'[number % 2]}.safetensors"
        for shard, entries in shards.items():
            header, data = {}, b""
            for name, entry in entries.items():
                first, end = entry["data_offsets"]
                header[name] = entry | {"data_offsets": [len(data), len(data) + end - first]}
                data += content[8 + length + first:8 + length + end]
            text = json.dumps(header).encode()
            (sharded / f"{shard}.safetensors").write_bytes(
                len(text).to_bytes(8, "little") + text + data)
        tiny.write_json(sharded / "model.safetensors.index.json",
                        {"metadata": {}, "weight_map": index})
        self.assertEqual(Base(sharded).fingerprint, Base(whole).fingerprint)
        interop.load(sharded, self.export)

    def test_of_a_run_the_newest_checkpoint_that_is_whole_is_taken(self):
        run = self.copy(self.run_folder)
        newer = run / "step-00000002"
        shutil.copytree(run / "step-00000001", newer)
        self.assertEqual(interop.Export(run).folder, newer)
        gates = newer / "lococo.safetensors"
        gates.write_bytes(gates.read_bytes()[:-1] + b"\x01")
        with self.assertLogs("lococo_transformers", "WARNING") as logged:
            self.assertEqual(interop.Export(run).folder, run / "step-00000001")
        self.assertIn("the content of lococo.safetensors has changed (checksum)", logged.output[0])
        self.refused("is a damaged checkpoint: the content of lococo.safetensors", self.model, newer)
        shutil.rmtree(run / "step-00000001")
        with self.assertLogs("lococo_transformers", "WARNING"):
            self.refused("every checkpoint of this run's folder is damaged", self.model, run)

    def test_an_optimizer_state_is_not_missed(self):
        interop.load(self.model, self.copy(self.checkpoint, without=["optimizer.safetensors"]))

    def test_folders_that_hold_no_memory_are_told_apart(self):
        adapter, merged = os.path.join(self.folder, "lora"), os.path.join(self.folder, "merged")
        for kind, output in (("adapter", adapter), ("merged", merged)):
            tool("export", f"model.path={self.model}", f"model.adapter={self.checkpoint}",
                 f"export.kind={kind}", f"export.output={output}")
        h2o = self.train("h2o", "cache={policy: h2o, slots: 32, block: 32, local: 8}",
                         "tune.retention=null")
        file = tiny.write_text(os.path.join(self.folder, "a file"), "")
        cases = {
            "there is no such folder": os.path.join(self.folder, "nowhere"),
            "is a file": file,
            "is an adapter alone": adapter,
            "is a whole model": merged,
            "is a checkpoint of cache.policy h2o": h2o,
            "is a run's folder without a checkpoint": self.copy(self.export, without=[
                "lococo.safetensors"], config__yaml=""),
            "holds no lococo.safetensors": self.fresh(),
            "holds no lococo_config.json": self.copy(self.export, without=["lococo_config.json"]),
            "is of the official code's form": self.copy(
                self.export, without=["lococo_config.json"], lococo_args__json="{}"),
            "has lost its state.json": self.copy(self.checkpoint, without=["state.json"])}
        for message, folder in cases.items():
            with self.subTest(message):
                self.refused(message, self.model, folder)

    def test_files_that_are_spoilt_are_named(self):
        gates = pathlib.Path(self.plain) / "lococo.safetensors"
        cut = self.copy(self.plain)
        (cut / gates.name).write_bytes(gates.read_bytes()[:-4])
        poisoned = make_export(self.fresh(), poison={GATE + "out_bias": float("nan")})
        lora = make_export(os.path.join(self.fresh(), "lora"), lora=True)
        other_lora = self.copy(lora)
        tiny.write_tensors(other_lora / "adapter_model.safetensors", tiny.adapter_shapes(rank=3))
        cases = {
            "lococo_config.json: is not JSON": self.copy(self.plain, lococo_config__json="{"),
            "lococo_config.json: is not a JSON object": self.copy(
                self.plain, lococo_config__json="[]"),
            "lococo_config.json: cache.block is missing": make_export(self.fresh(), block=None),
            "cache.slots: expected an integer, got \"many\"": make_export(self.fresh(), slots="many"),
            "cache.policy is lococo, only retention": make_export(self.fresh(), policy="lococo"),
            "cache.keys is rotated, only unrotated": make_export(self.fresh(), keys="rotated"),
            "cache.mixing is conv, only none can be run here; cache.mixing=none": make_export(
                self.fresh(), mixing="conv"),
            "lococo.safetensors: not a valid safetensors file": cut,
            "out_weight is [4, 16], the model needs [2, 16]": make_export(self.fresh(), kv_heads=4),
            f"{GATE[:-1]}: out_bias is not finite": poisoned,
            "adapter_model.safetensors: cannot be read": self.copy(
                lora, without=["adapter_model.safetensors"]),
            "PEFT cannot load this adapter": other_lora}
        for message, folder in cases.items():
            with self.subTest(message):
                self.refused(message, self.model, folder)
        interop.load(self.model, make_export(self.fresh(), mixing="conv"), mixing="none")

    def test_a_base_that_is_not_whole_is_refused(self):
        config = pathlib.Path(self.model) / "config.json"
        spoilt = self.copy(self.model)
        content = (spoilt / "model.safetensors").read_bytes()
        (spoilt / "model.safetensors").write_bytes(content[:-100])
        pointer = self.copy(self.model, model__safetensors=POINTER)

        def changed(**changes):
            text = json.dumps(json.loads(config.read_text()) | changes)
            return self.copy(self.model, config__json=text)
        cases = {
            "models are not downloaded": "org/name",
            "config.json: is missing": self.copy(self.model, without=["config.json"]),
            "holds an adapter_config.json": self.copy(self.model, adapter_config__json="{}"),
            "config.json: is not JSON": self.copy(self.model, config__json="{"),
            "config.json: is a pointer of Git LFS": self.copy(self.model, config__json=POINTER),
            "this is not a LLaMA model (model_type qwen2": changed(model_type="qwen2"),
            "hidden_size is missing": changed(hidden_size=None),
            "RoPE of type dynamic cannot be run": changed(
                rope_scaling={"type": "dynamic", "factor": 2.0}),
            "its weights do not fit its config.json: another shape has": changed(
                intermediate_size=64),
            "its weights do not fit its config.json: there is no": changed(num_hidden_layers=3),
            "holds neither model.safetensors": self.copy(self.model, without=["model.safetensors"]),
            "model.safetensors: is a pointer of Git LFS": pointer,
            "model.safetensors: not a valid safetensors file": spoilt}
        for message, model in cases.items():
            with self.subTest(message):
                self.refused(message, model, self.plain)

    def test_the_command_ends_with_2_and_one_line(self):
        prompt = tiny.write_text(os.path.join(self.folder, "prompt.txt"), "a prompt")
        model = self.copy(self.model)
        tiny.write_tokenizer(model)
        latin = tiny.write_bytes(os.path.join(self.folder, "latin.txt"), b"caf\xe9")
        cases = {
            "there is no such folder": (model, "nowhere", "--prompt-file", prompt),
            "nowhere: there is no such folder, and models are not downloaded": (
                "nowhere", self.plain, "--prompt-file", prompt),
            "nothing.txt: cannot be read": (model, self.plain, "--prompt-file", "nothing.txt"),
            "is not UTF-8": (model, self.plain, "--prompt-file", latin),
            "cache.slots: expected an integer": (model, self.plain, "cache.slots=many",
                                                 "--prompt-file", prompt),
            "cache.slot: unknown option": (model, self.plain, "cache.slot=3", "--prompt-file",
                                           prompt),
            "cache.device: unknown option": (model, self.plain, "cache.device=cuda", "--prompt-file",
                                             prompt),
            "slots=3: is no option": (model, self.plain, "slots=3", "--prompt-file", prompt),
            "its tokenizer cannot be read": (self.model, self.plain, "--prompt-file", prompt)}
        for message, arguments in cases.items():
            with self.subTest(message):
                done = run_script(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, "^lococo_transformers: error: .*\n$")
                self.assertIn(message, done.stderr)

    def test_the_exception_is_a_value_error(self):
        self.assertTrue(issubclass(interop.BadExport, ValueError))


if __name__ == "__main__":
    main()
