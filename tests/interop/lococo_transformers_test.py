"""scripts/lococo_transformers.py against the tools: what they make of one model and one memory.

Usage: lococo_transformers_test.py, with the folder of the tools in LOCOCO_BIN. Models are tiny and
random. Exit code 4: transformers or PEFT is not installed.
"""

import json
import os
import struct

import tiny_files as tiny
from counted import main
from memory_case import BLOCK, SLOTS, MemoryCase, interop, make_export, run_script, tool, torch
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-3  # nats of one token, float32 on both sides; a wrong key costs 0.1 and more
NEW_TOKENS = 160  # three compressions while decoding


class LococoTransformers(MemoryCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.adapted = make_export(os.path.join(cls.folder, "adapted"), lora=True)

    def full_attention(self, ids):
        model = AutoModelForCausalLM.from_pretrained(self.model, dtype=torch.float32)
        return model(torch.tensor([ids]), use_cache=False).logits

    def test_greedy_ids_are_those_of_lococo_generate(self):
        cases = {
            "gates alone": (self.plain, 290, {}),
            "gates and LoRA": (self.adapted, 290, {}),
            "the base's cap": (self.plain, 290, {"position_cap": 0}),
            "fewer slots than the export has": (self.adapted, 290, {"slots": 20}),
            "other shares of the slots": (self.plain, 290, {"local": 5, "alone_fraction": 0.7}),
            "a prompt that leaves the cache full": (self.plain, 232, {"block": 64, "buffer": 40}),
            "a last block of one token": (self.plain, 257, {}),
            "a prompt that fits": (self.plain, 20, {})}
        texts = []
        for name, (export, length, changes) in cases.items():
            with self.subTest(name):
                want = self.ours(export, self.ids[:length],
                                 *(f"cache.{key}={value}" for key, value in changes.items()),
                                 new_tokens=NEW_TOKENS)
                self.assertEqual(self.theirs(export, self.ids[:length], NEW_TOKENS, **changes), want)
                self.assertEqual(len(want), NEW_TOKENS)
                texts.append(want)
        # What tells the cases apart matters, or equal ids would say little.
        self.assertEqual(len(set(map(tuple, texts))), len(cases))

    def test_every_token_has_the_nll_of_lococo_eval(self):
        tokens = tiny.write_bytes(os.path.join(self.folder, "ids.bin"),
                                  struct.pack(f"<{len(self.ids)}H", *self.ids))
        output = os.path.join(self.folder, "nll.jsonl")
        for export in (self.plain, self.adapted):
            with self.subTest(os.path.basename(export)):
                tool("eval", f"model.path={self.model}", f"model.adapter={export}",
                     f"data.validation={tokens}", "data.raw_dtype=uint16", "eval.lengths=290",
                     "eval.max_tokens=290", f"eval.per_token={output}")
                with open(output, encoding="utf-8") as file:
                    ours = json.loads(file.readline())
                text = torch.tensor(self.ids[ours["begin"]:ours["begin"] + 291])
                model, options = interop.load(self.model, export)
                memory = interop.LearnedMemory(options)
                logits = model(text[None, :-1], past_key_values=memory).logits[0]
                nll = torch.nn.functional.cross_entropy(logits, text[1:], reduction="none")
                difference = (nll - torch.tensor(ours["nll"])).abs().max().item()
                self.assertLess(difference, TOLERANCE)

    def test_what_lococo_train_and_lococo_export_write_is_run(self):
        run = self.train("run")
        checkpoint = os.path.join(run, next(n for n in os.listdir(run) if n.startswith("step-")))
        export = os.path.join(self.folder, "export")
        tool("export", f"model.path={self.model}", f"model.adapter={checkpoint}",
             "export.kind=conv", f"export.output={export}")
        for folder in (run, checkpoint, export):
            with self.subTest(os.path.basename(folder)):
                self.assertEqual(self.theirs(folder, self.ids[:290], NEW_TOKENS),
                                 self.ours(folder, self.ids[:290], new_tokens=NEW_TOKENS))

    def test_what_a_second_run_tuned_besides_is_run(self):
        run = self.train("gates")
        for name, *tuned in (("embedding and norms", "tune.embed=0.1", "tune.norm=0.1"),
                             ("every weight", "tune.all=0.01", "tune.lora=null")):
            with self.subTest(name):
                again = self.train(name, f"model.adapter={run}", "tune.retention=null",
                                   "train.pass=blockwise", *tuned)
                self.assertEqual(self.theirs(again, self.ids[:290]),
                                 self.ours(again, self.ids[:290]))

    def test_a_base_that_scales_positions_has_the_cap_and_the_angles_of_the_tools(self):
        yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
        llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                  "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        bases = {"linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
                 "yarn": {"rope_scaling": yarn}, "llama3": {"rope_scaling": llama3},
                 "transformers 5": {"rope_theta": None, "rope_parameters": {
                     "rope_type": "default", "rope_theta": 200.0}}}
        for name, changes in bases.items():
            with self.subTest(name):
                model = self.make_model(name, max_position_embeddings=64, **changes)
                self.assertEqual(
                    self.theirs(self.plain, self.ids, model=model, position_cap=0),
                    self.ours(self.plain, self.ids, "cache.position_cap=0", model=model))

    def test_a_cache_never_holds_more_than_its_slots_and_a_block(self):
        model, options = interop.load(self.model, self.plain)
        memory = interop.LearnedMemory(options)
        for begin in range(0, 280, 40):
            model(torch.tensor([self.ids[begin:begin + 40]]), past_key_values=memory)
            sizes = {layer.size() for layer in memory.memories}
            self.assertEqual(len(sizes), 1)
            self.assertLessEqual(sizes.pop(), SLOTS + BLOCK)
        self.assertEqual(memory.get_seq_length(), 280)

    def test_a_text_may_come_in_pieces_of_whole_blocks(self):
        model, options = interop.load(self.model, self.adapted)
        whole, pieces = interop.LearnedMemory(options), interop.LearnedMemory(options)
        ids = torch.tensor([self.ids[:256]])
        want = model(ids, past_key_values=whole).logits
        got = [model(piece, past_key_values=pieces).logits for piece in ids.split(2 * BLOCK, 1)]
        self.assertLess((torch.cat(got, dim=1) - want).abs().max().item(), TOLERANCE)

    def test_without_a_memory_the_model_is_its_base_and_has_gradients(self):
        model, _ = interop.load(self.model, self.plain)
        ids = self.ids[:60]
        logits = model(torch.tensor([ids]), use_cache=False).logits
        self.assertTrue(torch.equal(logits, self.full_attention(ids)))
        logits.sum().backward()
        self.assertGreater(model.model.layers[0].self_attn.q_proj.weight.grad.abs().max().item(), 0)

    def test_rows_of_a_batch_are_what_they_are_alone(self):
        model, options = interop.load(self.model, self.plain)
        rows = torch.tensor([self.ids[:140], self.ids[150:290]])
        together = model(rows, past_key_values=interop.LearnedMemory(options)).logits
        for number, row in enumerate(rows):
            alone = model(row[None], past_key_values=interop.LearnedMemory(options)).logits
            self.assertLess((alone[0] - together[number]).abs().max().item(), TOLERANCE)

    def test_bfloat16_is_near_float32_and_caches_bfloat16(self):
        # A single block: later ones may keep other keys, because scores are rounded.
        text = torch.tensor([self.ids[:BLOCK]])
        logits = {}
        for dtype in (torch.float32, torch.bfloat16):
            model, options = interop.load(self.model, self.plain, dtype)
            memory = interop.LearnedMemory(options)
            logits[dtype] = model(text, past_key_values=memory).logits.float()
            self.assertEqual(memory.memories[0].key.dtype, dtype)
            self.assertEqual(memory.memories[0].score.dtype, torch.float32)
            prompt = torch.tensor([self.ids[:290]])
            model.generate(prompt, max_new_tokens=80, do_sample=False, pad_token_id=0,
                           attention_mask=torch.ones_like(prompt),
                           past_key_values=interop.LearnedMemory(options))
        difference = (logits[torch.float32] - logits[torch.bfloat16]).abs().mean().item()
        self.assertLess(difference, 0.05 * logits[torch.float32].std().item())

    def test_the_command_prints_what_lococo_generate_prints(self):
        tiny.write_tokenizer(self.model)
        prompt = tiny.write_text(os.path.join(self.folder, "prompt.txt"),
                                 "the and of 17, their rand: an ethereal band. " * 4)
        want = tool("generate", f"model.path={self.model}", f"model.adapter={self.adapted}",
                    f"generate.prompt_file={prompt}", "generate.output=ids",
                    "generate.temperature=0", "generate.max_new_tokens=20", "cache.slots=24")
        done = run_script(self.model, self.adapted, "--prompt-file", prompt, "--ids", "cache.slots=24",
                          "--max-new-tokens", "20", "--dtype", "float32")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split(), want.split())


if __name__ == "__main__":
    main()
