"""Vocabularies of 128,256 and 49,152 tokens through every tool, and its exports in transformers and PEFT.

Usage: large_vocabulary_test.py, with the folder of the tools in LOCOCO_BIN. The models are tiny and random, of
Llama-3's and SmolLM's kind; their merges make tokens of up to three bytes, so that text has ids of the whole range.
Exit code 4: transformers, PEFT or tokenizers is not installed.
"""

import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from counted import main
from fuzz_texts import Texts

try:
    import torch
    from peft import PeftModel
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import (AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM,
                              PreTrainedTokenizerFast)
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
TEMPLATES = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "tests/support/chat_templates"
TOLERANCE = 1e-4  # of logits and NLLs of about 1, float32 on both sides
LENGTH, NEW_TOKENS = 48, 24
PROMPT = "The ka lomi terons gar the vindo: 17 of them, ça va? 👍🏽"
COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")

LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level_model(size):
    """Bytes, pairs of bytes in a random order, then triples, until there are `size` tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    choice = random.Random(1)
    merges = [(left, right) for left in letters for right in letters]
    choice.shuffle(merges)
    merges = merges[:size - len(letters)]
    triples = size - len(letters) - len(merges)
    pairs = ["".join(pair) for pair in merges]
    common = [pair + letter for pair in pairs for letter in letters if (pair + letter).isascii()]
    merges += [(triple[:2], triple[2]) for triple in choice.sample(common, triples)]
    tokens = letters + ["".join(merge) for merge in merges]
    return models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, ignore_merges=True)


def llama_3_tokenizer():
    """128,000 tokens and 256 special ones; a text begins with one of those."""
    tokenizer = Tokenizer(byte_level_model(128000))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    named = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens(named + [f"<|reserved_special_token_{n}|>" for n in range(256 - len(named))])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 128000)])
    return tokenizer, {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}, "llama-3.jinja"


def smollm_tokenizer():
    """49,135 tokens and 17 special ones; a text begins with none."""
    tokenizer = Tokenizer(byte_level_model(49135))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    named = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens(named + [f"<extra_{n}>" for n in range(17 - len(named))])
    return tokenizer, {"bos_token": "<|im_start|>", "eos_token": "<|endoftext|>"}, "smollm2.jinja"


def write_model(folder, make_tokenizer, dtype, **config):
    tokenizer, tokens, template = make_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens,
                                   chat_template=(TEMPLATES / template).read_text(encoding="utf-8"))
    fast.save_pretrained(folder)
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.2, bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id, **config))
    model.generation_config = GenerationConfig(eos_token_id=fast.eos_token_id, do_sample=True, temperature=0.7)
    model.to(dtype).save_pretrained(folder)
    return len(fast)


def run(name, *arguments):
    return subprocess.run([BIN / f"lococo-{name}", "distributed.device=cpu", "distributed.threads=1", *arguments],
                          capture_output=True, text=True)


def tool(name, *arguments):
    done = run(name, *arguments)
    if done.returncode != 0:
        raise AssertionError(f"lococo-{name} {arguments}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


class Case:
    """A base, what was tuned on it, and its two exports."""

    def __init__(self, folder, make_tokenizer, dtype, tune, **config):
        self.folder = folder
        folder.mkdir()
        self.base = folder / "base"
        self.size = write_model(self.base, make_tokenizer, dtype, **config)
        source = Texts(seed=3)
        self.text = " ".join(source.sentence() for _ in range(40)) + "\n" + source.mixture()
        (folder / "text.txt").write_text(self.text, encoding="utf-8")
        self.tuned = [f"model.path={self.base}", f"model.adapter={folder / 'run'}", "model.dtype=float32"]
        self.tune_options = tune

    def tune_and_export(self):
        folder = self.folder
        tool("train", f"model.path={self.base}", f"data.train={folder / 'text.txt'}", f"train.output={folder / 'run'}",
             f"data.context_length={LENGTH}", "train.steps=4", "train.sequences_per_step=1", "train.warmup_steps=0",
             "cache={policy: lococo, slots: 8, block: 8, kernel_size: 3, buffer: 0}", "tune.conv=1e-2",
             "log.tensorboard=false", *self.tune_options)
        for kind in ("merged", "adapter"):
            tool("export", *self.tuned, f"export.kind={kind}", f"export.output={folder / kind}")
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "merged")
        self.ids = self.tokenizer(self.text)["input_ids"] + [self.tokenizer.eos_token_id]

    def nlls(self, name, *arguments):
        """What lococo-eval computes: begin and NLLs of each segment."""
        output = self.folder / f"{name}.jsonl"
        tool("eval", *arguments, f"data.validation={self.folder / 'text.txt'}", f"eval.lengths={LENGTH}",
             f"eval.max_tokens={4 * LENGTH}", f"eval.per_token={output}")
        return [json.loads(line) for line in output.read_text().splitlines()]


class LargeVocabulary(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="lococo-vocabulary-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.cases = [
            Case(cls.folder / "llama-3", llama_3_tokenizer, torch.bfloat16, ["tune.lora=1e-2", "tune.embed=1e-2"],
                 tie_word_embeddings=False, rope_theta=500000.0),
            Case(cls.folder / "smollm", smollm_tokenizer, torch.float32, ["tune.lora=3e-2"],
                 tie_word_embeddings=True)]
        with ThreadPoolExecutor() as pool:  # the tools of one case beside those of the other
            list(pool.map(Case.tune_and_export, cls.cases))

    def assert_close(self, got, want):
        self.assertLess((got - want).abs().max().item(), TOLERANCE)

    def test_the_vocabularies_are_as_large_as_meant_and_used_to_their_end(self):
        self.assertEqual([case.size for case in self.cases], [128256, 49152])
        for case in self.cases:
            with self.subTest(vocabulary=case.size):
                self.assertGreater(len(set(case.ids)), 200)
                ordinary = [id for id in case.ids if id < case.size - 256]
                self.assertGreater(max(ordinary), 0.9 * case.size)

    def test_the_tokenizers_files_lie_beside_both_exports(self):
        for case in self.cases:
            with self.subTest(vocabulary=case.size):
                theirs = AutoTokenizer.from_pretrained(case.base)
                turn = [{"role": "user", "content": PROMPT}]
                for kind in ("merged", "adapter"):
                    folder = case.folder / kind
                    for name in COMPANIONS:
                        self.assertEqual((folder / name).read_bytes(), (case.base / name).read_bytes(), name)
                    self.assertEqual((folder / "generation_config.json").exists(), kind == "merged")
                    ours = AutoTokenizer.from_pretrained(folder)
                    self.assertEqual(len(ours), case.size)
                    self.assertEqual(ours(case.text)["input_ids"], theirs(case.text)["input_ids"])
                    self.assertEqual(ours.decode(case.ids), theirs.decode(case.ids))
                    self.assertEqual(ours.apply_chat_template(turn), theirs.apply_chat_template(turn))

    def test_transformers_computes_what_was_tuned_from_either_export(self):
        for case in self.cases:
            with self.subTest(vocabulary=case.size):
                ids = case.ids[:2 * LENGTH]
                base = load(case.base)
                untuned = logits_of(base, ids)
                merged = logits_of(load(case.folder / "merged"), ids)
                self.assertGreater((merged - untuned).abs().max().item(), 100 * TOLERANCE)
                adapted = PeftModel.from_pretrained(base, case.folder / "adapter").eval()
                self.assert_close(logits_of(adapted, ids), merged)

    def test_evaluation_of_the_merged_model_has_the_nll_of_transformers(self):
        for case in self.cases:
            with self.subTest(vocabulary=case.size):
                merged = load(case.folder / "merged")
                segments = case.nlls("merged", f"model.path={case.folder / 'merged'}")
                self.assertGreaterEqual(len(segments), 3)
                for ours in segments:
                    window = case.ids[ours["begin"]:ours["begin"] + LENGTH + 1]
                    want = torch.nn.functional.cross_entropy(logits_of(merged, window[:-1]), torch.tensor(window[1:]),
                                                             reduction="none")
                    self.assert_close(torch.tensor(ours["nll"]), want)

    def test_evaluation_runs_with_what_was_tuned(self):
        for case in self.cases:
            with self.subTest(vocabulary=case.size):
                values = [value for segment in case.nlls("compressed", *case.tuned) for value in segment["nll"]]
                self.assertTrue(all(math.isfinite(value) for value in values))
                self.assertLess(sum(values) / len(values), 2 * math.log(case.size))

    def test_generation_from_the_export_alone_is_that_of_transformers(self):
        for case in self.cases:
            with self.subTest(vocabulary=case.size):
                ids = case.tokenizer(PROMPT)["input_ids"]
                made = load(case.folder / "merged").generate(
                    torch.tensor([ids]), do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=None,
                    pad_token_id=0)[0, len(ids):].tolist()
                text = tool("generate", f"model.path={case.folder / 'merged'}", "--prompt", PROMPT,
                            "generate.stop_at_eos=false", f"generate.max_new_tokens={NEW_TOKENS}",
                            "generate.temperature=0")
                self.assertEqual(text, case.tokenizer.decode(made) + "\n")

    def test_a_tokenizer_of_a_larger_vocabulary_is_refused_before_weights_are_read(self):
        base, model = self.cases[1].base, self.folder / "without-weights"
        config = json.loads((base / "config.json").read_text())
        model.mkdir()
        (model / "config.json").write_text(json.dumps(dict(config, vocab_size=config["vocab_size"] - 1)))
        text, output = self.folder / "some.txt", self.folder / "output"
        text.write_text(PROMPT)
        for name, *arguments in (("train", f"data.train={text}", f"train.output={output}", "tune.lora=1e-3"),
                                 ("eval", f"data.validation={text}"), ("generate", "--prompt", PROMPT),
                                 ("export", f"export.output={output}/export")):
            with self.subTest(tool=name, arguments=arguments):
                done = run(name, f"model.path={model}", f"data.tokenizer={base / 'tokenizer.json'}", *arguments,
                           "log.level=warn")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("data.tokenizer: has 49152 tokens, the model 49151", done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertEqual(list(self.folder.glob("some.txt.*")), [])
                self.assertEqual(list(output.rglob("step-*")) + list(output.glob("config.json")), [])


if __name__ == "__main__":
    main()
