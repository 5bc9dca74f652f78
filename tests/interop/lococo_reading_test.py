"""How a memory is read by scripts/lococo_transformers.py: options chosen anew, with the tools' own
refusals, and rows of generate(): batches, samples, beams.

Usage: lococo_reading_test.py, with the folder of the tools in LOCOCO_BIN. Exit code 4: transformers
or PEFT is not installed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import tiny_files as tiny
import torch
from counted import main
from memory_case import BLOCK, SOURCE, MemoryCase, interop, make_export, run_tool
from transformers import AutoModelForCausalLM

NEW = 40


class LococoReading(MemoryCase):
    def setUp(self):
        self.loaded, self.options = interop.load(self.model, self.plain)

    def memory(self):
        return interop.LearnedMemory(self.options)

    def generate(self, rows, memory, **arguments):
        prompt = torch.tensor(rows)
        arguments = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0,
                     "eos_token_id": None, "attention_mask": torch.ones_like(prompt)} | arguments
        return self.loaded.generate(prompt, past_key_values=memory, **arguments)

    def test_options_are_refused_in_the_words_of_lococo_generate(self):
        for options in ({"slots": 10}, {"slots": 9}, {"slots": 0}, {"slots": 80}, {"slots": "1.5"},
                        {"local": 3}, {"local": 60}, {"local": -1}, {"local": "few"}, {"sinks": 40},
                        {"alone_fraction": 1.5}, {"alone_fraction": "nan"}, {"score_decay": 2},
                        {"slots": 64, "local": 62}, {"position_cap": 63}, {"decode_buffer": -1}):
            with self.subTest(options):
                keys = [f"{'generate' if name == 'decode_buffer' else 'cache'}.{name}={value}"
                        for name, value in options.items()]
                done = run_tool("generate", f"model.path={self.model}",
                                f"model.adapter={self.plain}", "generate.prompt_ids=1 2",
                                "generate.output=ids", *keys)
                self.assertEqual(done.returncode, 2, done.stderr)
                line = done.stderr.splitlines()[-1]
                said = self.refused("", self.model, self.plain, **options)
                self.assertTrue(line.endswith(said), f"{said}\nis not\n{line}")

    def test_an_option_that_there_is_not_is_refused(self):
        self.refused("cache.slot: unknown option; there are cache.slots", self.model, self.plain,
                     slot=3)
        self.refused("cache.keys is rotated, only unrotated", self.model, self.plain, keys="rotated")
        self.refused("expected an integer, got true", self.model, self.plain, slots=True)

    def test_an_option_of_none_is_the_exports(self):
        _, options = interop.load(self.model, self.plain, slots=None, local="5", alone_fraction=0)
        self.assertEqual((options.slots, options.local, options.alone_fraction), (32, 5, 0.0))

    def test_samples_of_a_prompt_are_those_of_as_many_rows(self):
        got = []
        for rows, arguments in (([self.ids[:200]], {"num_return_sequences": 3}),
                                ([self.ids[:200]] * 3, {})):
            torch.manual_seed(5)
            got.append(self.generate(rows, self.memory(), do_sample=True, **arguments))
        self.assertTrue(torch.equal(*got))
        self.assertEqual(len(got[0].unique(dim=0)), 3)

    def test_beams_go_on_with_their_own_texts(self):
        # A memory in which all has room is full attention.
        _, self.options = interop.load(self.model, self.plain, slots=256, local=8, position_cap=0)
        model = AutoModelForCausalLM.from_pretrained(self.model, dtype=torch.float32)
        prompt = torch.tensor([self.ids[:30]])
        want = model.generate(prompt, num_beams=3, do_sample=False, max_new_tokens=NEW,
                              pad_token_id=0, eos_token_id=None)
        got = self.generate([self.ids[:30]], self.memory(), num_beams=3)
        self.assertTrue(torch.equal(got, want))

    def test_beams_through_compressions_are_the_most_likely_text(self):
        greedy, beams = (self.generate([self.ids[:200]], self.memory(), num_beams=beams)
                         for beams in (1, 4))

        def likelihood(text):
            # As generate() read it: the prompt at once, then token by token.
            memory, total = self.memory(), 0.0
            logits = self.loaded(text[:, :200], past_key_values=memory).logits
            for token in text[0, 200:]:
                total += logits[0, -1].log_softmax(-1)[token].item()
                logits = self.loaded(token[None, None], past_key_values=memory).logits
            return total
        # Nothing makes beams find the better text, but a search that read others' memories would
        # hardly be as good.
        self.assertGreaterEqual(likelihood(beams), likelihood(greedy) - 1e-4)

    def test_a_conversation_goes_on_in_its_memory(self):
        memory = self.memory()
        first = self.generate([self.ids[:100]], memory)
        seen = memory.get_seq_length()
        self.assertEqual(seen, 100 + NEW - 1)  # the last token has not been read yet
        again = torch.cat([first, torch.tensor([self.ids[100:150]])], dim=1)
        self.generate(again.tolist(), memory)
        self.assertEqual(memory.get_seq_length(), again.shape[1] + NEW - 1)
        memory.reset()
        self.assertTrue(torch.equal(self.generate([self.ids[:100]], memory), first))

    def test_a_text_that_was_read_once_is_asked_in_several_ways(self):
        memory = self.memory()
        text = torch.tensor([self.ids[:4 * BLOCK]])
        self.loaded(text, past_key_values=memory)
        memory.batch_repeat_interleave(2)
        ends = torch.tensor([self.ids[200:210], self.ids[210:220]])
        got = self.generate(torch.cat([text.expand(2, -1), ends], dim=1).tolist(), memory)
        for row, end in zip(got, ends):
            alone = self.memory()
            self.loaded(text, past_key_values=alone)
            want = self.generate(torch.cat([text[0], end])[None].tolist(), alone)
            self.assertEqual(row.tolist(), want[0].tolist())

    def test_what_a_memory_cannot_follow_is_refused(self):
        rows, mask = [self.ids[:20], self.ids[20:40]], torch.ones(2, 20, dtype=torch.long)
        mask[0, :3] = 0
        with self.assertRaisesRegex(interop.BadExport, "attention_mask: leaves tokens out"):
            self.generate(rows, self.memory(), attention_mask=mask)
        memory = self.memory()
        self.generate(rows, memory)
        with self.assertRaisesRegex(interop.BadExport, "holds 2 texts, and 1 rows came"):
            self.loaded(torch.tensor([[1]]), past_key_values=memory)
        with self.assertRaisesRegex(interop.BadExport, "cannot take tokens back"):
            self.generate(rows[:1], self.memory(), prompt_lookup_num_tokens=2)
        for ids, message in (([], "is empty"), ([300], "the model has 300"), ([-1], "go from -1")):
            with self.assertRaisesRegex(interop.BadExport, message):
                interop.generate_greedily(self.loaded, self.memory(), ids, 1)
        self.refused("device cuba: cannot be used", self.model, self.plain, device="cuba")

    def test_the_example_of_the_documents_runs(self):
        text = (SOURCE / "docs" / "transformers.md").read_text(encoding="utf-8")
        example = re.search("^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
        place = pathlib.Path(self.fresh())
        shutil.copytree(self.model, place / "models" / "smollm2-135m")
        tiny.write_tokenizer(place / "models" / "smollm2-135m")
        make_export(place / "runs" / "smollm2_memory", position_cap=0)
        tiny.write_text(place / "book.txt", "the and of 17, their rand: an ethereal band. " * 40)
        done = subprocess.run([sys.executable, "-c", example.replace('"cuda"', '"cpu"')], cwd=place,
                              env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("What is the number? ", done.stdout)

    def test_a_model_keeps_its_own_generation_config(self):
        before = self.loaded.generation_config
        interop.generate_greedily(self.loaded, self.memory(), [1, 2], 2)
        self.assertIs(self.loaded.generation_config, before)


if __name__ == "__main__":
    main()
