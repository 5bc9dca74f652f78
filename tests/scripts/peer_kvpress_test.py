"""scripts/peer_kvpress.py: its reading and tables; and, where kvpress is installed, the answers of
prompts that are read and answered together against those of one prompt at a time."""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import types
import unittest

SCRIPTS = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts"
sys.path.insert(0, str(SCRIPTS))

import peer_kvpress  # noqa: E402
import peer_model  # noqa: E402
import peer_scoring as scoring  # noqa: E402
from counted import main  # noqa: E402
from folder_case import FolderCase  # noqa: E402
from intervals import wilson  # noqa: E402
from peer_sample import sample  # noqa: E402


class Folder(FolderCase):
    def write(self, name, *lines):
        path = self.folder / name
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n"
                                for line in lines), encoding="utf-8")
        return path


class Tables(Folder):
    def test_cells_are_summed_for_each_policy_and_number_of_keys(self):
        first, other = sample("prefix"), sample("contains_all", task="ruler", kind="vt")
        results = [("snapkv", 256, first, {"accuracy": 1.0}),
                   ("snapkv", 256, first, {"accuracy": 0.0}),
                   ("snapkv", 256, first | {"depth": 0.0}, {"accuracy": 1.0}),
                   ("snapkv", 512, first, {"accuracy": 1.0, "other": 0.0}),
                   ("snapkv", 256, other, {"match": 0.25}), ("snapkv", 256, other, {"match": 0.75})]
        rows = scoring.summarize(results)
        self.assertEqual(
            [(r["kept"], r["task"], r["depth"], r["metric"], r["trials"], r["correct"])
             for r in rows],
            [(256, "needle", 50.0, "accuracy", 2, 1.0), (256, "needle", 0.0, "accuracy", 1, 1.0),
             (512, "needle", 50.0, "accuracy", 1, 1.0), (512, "needle", 50.0, "other", 1, 0.0),
             (256, "ruler", 50.0, "match", 2, 1.0)])
        self.assertEqual((rows[0]["low"], rows[0]["high"]), wilson(0.5, 2))
        self.assertAlmostEqual(rows[4]["high"] - rows[4]["low"], 2 * 1.96 * 0.25)

        report = {"cells": rows, "nll": scoring.summarize_nll([("full", None, 3.0),
                                                               ("full", None, 4.0)]), "notes": []}
        lines = scoring.table(report).splitlines()
        self.assertEqual(lines[0], "| policy | keys | needle digits 64 | ruler vt 64 | NLL |")
        self.assertEqual(lines[2], "| snapkv | 256 | 67 ± 30 (3) | 50 ± 49 (2) |  |")
        self.assertEqual(lines[3], "| snapkv | 512 | 100 ± 40 (1) |  |  |")
        self.assertEqual(lines[4], "| full | all |  |  | 3.500 ± 0.980 |")

        ours = {"task": "needle", "policy": "h2o", "slots": 256, "cells": [
            {"kind": "digits", "length": 64, "depth": 50.0, "metric": "accuracy", "trials": 100,
             "correct": 50.0, "mean": 0.5, "low": 0.4, "high": 0.6}]}
        done = self.merge(self.write("peer.json", report), self.write("ours.json", ours))
        lines.insert(4, "| h2o, ours | 256 | 50 ± 10 (100) |  |  |")
        self.assertEqual((done.returncode, done.stdout.splitlines()[:6]), (0, lines), done.stderr)

    def merge(self, *paths):
        return subprocess.run([sys.executable, SCRIPTS / "peer_kvpress.py", "--merge", *paths],
                              capture_output=True, text=True, check=False)

    def test_what_is_no_output_is_named(self):
        for content in ("{", "[]", {"results": []}, {"policy": "h2o", "cells": []}):
            done = self.merge(self.write("x.json", content))
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn("x.json: is no output of peer_kvpress.py", done.stderr)

    def test_a_run_cut_short_has_all_cells(self):
        samples = [sample("prefix", kind=kind, trial=i) for kind in "ab" for i in range(3)]
        order = [(s["kind"], s["trial"]) for s in scoring.interleaved(samples)]
        self.assertEqual(order, [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)])
        path = self.write("s.jsonl", *[s | {"answer_ids": [1]} for s in samples])
        self.assertEqual(len(peer_kvpress.chosen_samples([path], 2)), 4)


class BadFiles(Folder):
    def test_a_bad_line_is_named(self):
        good = sample("prefix", answer_ids=[5])
        choice = sample("choice", options=["a", "b"], option_ids=[[1], [2]], correct=1)
        for bad, *says in (("{", ":2: is not JSON"), ("[]", ":2: is not a JSON object"),
                           (good | {"scoring": "luck"}, ":2: task or scoring"),
                           (good | {"context_ids": []}, ":2: context_ids"),
                           (good | {"question_ids": ["a"]}, ":2: question_ids"),
                           (good | {"answer_ids": None}, ":2: answer_ids"),
                           (choice | {"option_ids": [[1]]}, ":2: option_ids"),
                           (choice | {"option_ids": [[1], []]}, ":2: option_ids"),
                           (choice | {"options": ["a"]}, ":2: options has not one text"),
                           (choice | {"correct": 2}, ":2: correct is none of the 2"),
                           (sample("qa"), ":2: answers is missing")):
            path = self.write("s.jsonl", good, bad)
            done = subprocess.run([sys.executable, SCRIPTS / "peer_kvpress.py", "--model", "none",
                                   "--samples", path], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            for text in says:
                self.assertIn(str(path) + text, done.stderr)

    def test_segments_must_be_long_enough(self):
        path = self.write("t.jsonl", {"ids": list(range(130))}, {"ids": list(range(129))})
        with self.assertRaisesRegex(scoring.BadInput, ":2: ids is not a list of at least 130"):
            scoring.read_segments(path, 128)

    def test_unknown_presses_are_refused(self):
        for name in ("h2o", "snapkv-x", "tova-32", ""):
            with self.assertRaisesRegex(scoring.BadInput, "is not known; there are full"):
                peer_model.make_press(None, name)


class Waves(unittest.TestCase):
    """Run with presses that are not there."""

    class Peer:
        about = {}

        def answer(self, name, kept, samples):
            if name == "kvzip":
                raise ValueError("no hyperplane\nmore")
            return [({"accuracy": float(kept == 512)}, "text") for _ in samples]

    def run_over(self, samples, **options):
        arguments = types.SimpleNamespace(presses=["full", "kvzip", "snapkv"], kept=[256, 512],
                                          wave=2, minutes=0.0)
        arguments.__dict__.update(options)
        run = peer_kvpress.Run(self.Peer(), arguments)
        with contextlib.redirect_stderr(io.StringIO()):
            run.answer_samples(samples, None)
        return run.report()

    def test_every_policy_answers_every_prompt_and_failures_are_noted(self):
        report = self.run_over([sample("prefix", trial=i) for i in range(5)])
        self.assertEqual([(r["policy"], r["kept"], r["trials"], r["mean"])
                          for r in report["cells"]],
                         [("full", None, 5, 0.0), ("snapkv", 256, 5, 0.0), ("snapkv", 512, 5, 1.0)])
        self.assertIn("full attention", report["notes"][0])
        self.assertIn("kvzip with 256 keys does not run: ValueError: no hyperplane",
                      report["notes"])
        self.assertEqual(len(report["notes"]), 3)

    def test_the_time_ends_before_a_wave(self):
        report = self.run_over([sample("prefix")] * 5, minutes=1e-9)
        self.assertEqual(report["cells"], [])
        self.assertIn("stopped after 0 of 5 by --minutes", report["notes"])


@unittest.skipUnless(importlib.util.find_spec("kvpress"), "kvpress is not installed")
class Presses(Folder):
    """A tiny random model; one prompt at a time and without padding is the reference."""

    def setUp(self):
        super().setUp()
        import tokenizers
        import torch
        import transformers
        self.torch = torch
        torch.manual_seed(2)
        transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=300, hidden_size=64, intermediate_size=64, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2, eos_token_id=299,
            max_position_embeddings=512)).save_pretrained(self.folder)
        level = tokenizers.pre_tokenizers.ByteLevel
        vocabulary = {token: i for i, token in enumerate(sorted(level.alphabet()))}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
        tokenizer.pre_tokenizer = level(add_prefix_space=False)
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer).save_pretrained(self.folder)

    def peer(self, *presses):
        return peer_model.Peer(types.SimpleNamespace(
            model=str(self.folder), device="cpu", dtype="float32", presses=list(presses),
            prefill_tokens=400))

    def prompts(self):
        """Three lengths; two prompts of one are read together."""
        draw = self.torch.Generator().manual_seed(4)

        def ids(count):
            return self.torch.randint(0, 256, (count,), generator=draw).tolist()
        return [sample("contains_all", context_ids=ids(length), question_ids=ids(question),
                       answers=["x"], max_new_tokens=count)
                for length, question, count in ((150, 5, 6), (180, 1, 9), (150, 9, 3), (97, 4, 8))]

    def alone(self, peer, press, kept, case, ids):
        """Logits of ids read after a context: one row, no mask, positions by hand."""
        from transformers import DynamicCache
        torch, cache = self.torch, DynamicCache()
        for i, (key, value) in enumerate(peer.read(press, kept, [case["context_ids"]])):
            cache.update(key.clone(), value.clone(), i)
        position = torch.arange(len(ids))[None] + len(case["context_ids"])
        return peer.model(input_ids=torch.tensor([ids]), position_ids=position,
                          past_key_values=cache).logits[0]

    def test_prompts_answered_together_get_the_answers_of_each_alone(self):
        peer = self.peer("full", "streaming", "snapkv-16", "observed", "tova", "expected",
                         "merging-16")
        kept = 32
        cases, answers = self.prompts(), {}
        with self.torch.inference_mode():
            for name, press in peer.presses.items():
                contexts = [case["context_ids"] for case in cases]
                memory = peer.memory(press, kept, contexts)
                answers[name] = peer.generate(memory, cases, [0, 1, 2, 3])
                for case, found in zip(cases, answers[name]):
                    if len(found) < case["max_new_tokens"]:
                        found = found + [299]
                    logits = self.alone(peer, press, kept, case, case["question_ids"] + found[:-1])
                    self.assertEqual(logits[-len(found):].argmax(-1).tolist(), found)
        self.assertEqual(len({json.dumps(a) for a in answers.values()}), len(answers))

    def test_log_likelihoods_are_those_of_each_option_alone(self):
        peer, kept = self.peer("full", "snapkv-16", "kvzip"), 32
        cases = self.prompts()[:3]
        for case in cases:
            case |= {"scoring": "choice", "correct": 0, "options": ["a", "b", "c"],
                     "option_ids": [[7, 8, 9], [10], [11, 12]]}
        with self.torch.inference_mode():
            for name, press in peer.presses.items():
                found = [answer for _, answer in peer.answer(name, kept, cases)]
                for case, sums in zip(cases, found):
                    for option, value in zip(case["option_ids"], sums):
                        logits = self.alone(peer, press, kept, case,
                                            case["question_ids"] + option[:-1])
                        logs = logits[-len(option):].log_softmax(-1)
                        wanted = sum(logs[i, token].item() for i, token in enumerate(option))
                        self.assertAlmostEqual(value, wanted, places=3)

    def test_segments_are_the_likelihood_of_their_last_tokens(self):
        peer = self.peer("full")
        ids = self.torch.randint(0, 256, (300,), generator=self.torch.Generator().manual_seed(1))
        with self.torch.inference_mode():
            found, = peer.segment_nlls("full", None, [ids.tolist()])
            logs = peer.model(input_ids=ids[None]).logits[0, -129:-1].log_softmax(-1)
            wanted = -logs.gather(1, ids[-128:, None]).mean().item()
        self.assertAlmostEqual(found, wanted, places=4)

    def test_answers_are_those_of_the_pipeline_of_kvpress(self):
        import kvpress
        import transformers
        if tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 3):
            self.skipTest("kvpress itself runs with transformers before 5.3 only")
        peer, kept = self.peer("streaming", "snapkv-16", "tova", "merging-16", "kvzip"), 32
        pipeline = kvpress.pipeline.KVPressTextGenerationPipeline(
            model=peer.model, tokenizer=peer.tokenizer, device="cpu")
        with self.torch.inference_mode():
            for name, press in peer.presses.items():
                for case, (_, text) in zip(self.prompts(),
                                           peer.answer(name, kept, self.prompts())):
                    press.compression_ratio = peer.ratio(press, len(case["context_ids"]), kept)
                    wanted, = pipeline._forward(
                        {"context_ids": self.torch.tensor([case["context_ids"]]),
                         "questions_ids": [self.torch.tensor([case["question_ids"]])]},
                        max_new_tokens=case["max_new_tokens"], press=press)
                    self.assertEqual(text, wanted, name)

    def test_contexts_shorter_than_the_keys_are_kept_whole(self):
        peer = self.peer("full", "kvzip", "tova")
        with self.torch.inference_mode():
            texts = {name: peer.answer(name, 400, self.prompts()[:2]) for name in peer.presses}
        self.assertEqual(texts["full"], texts["tova"])
        self.assertEqual(texts["full"], texts["kvzip"])


if __name__ == "__main__":
    main()
