"""Conversations as lococo makes them, against transformers' apply_chat_template and generate.

Usage: chat_test.py CHAT_TURNS (tests/interop/chat_turns.cpp), with the folder of the tools in LOCOCO_BIN.
Exit code 4: transformers or sentencepiece is not installed.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from counted import main

try:
    import sentencepiece
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer, PreTrainedTokenizerFast
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

TOOL = sys.argv[1] if len(sys.argv) > 1 else ""
BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
TEMPLATES = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "tests/support/chat_templates"
BOS = {"llama-2": "<s>", "llama-3": "<|begin_of_text|>", "llama-3.1": "<|begin_of_text|>",
       "llama-3.2": "<|begin_of_text|>"}
SPECIALS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
            "<|end_header_id|>", "<|eot_id|>", "<|endoftext|>"]

TEXTS = ["Hi", "  two  blanks  ", "What is 2 + 2?\nAnd 17 * 3?\n",
         "\u00a0 Grüße, 世界 👋🏽 \u2003", "{{ x }} <b>'\"</b>", "the old house"]
# Every system message with every text as the first of one to three turns.
CASES = [{"system": system, "users": users, "answers": ["The answer " * n for n in range(1, len(users))]}
         for system, first, turns in itertools.product(["", "Be kind.", " It's \"late\". "], range(len(TEXTS)), (1, 2, 3))
         for users in [[TEXTS[(first + n) % len(TEXTS)] for n in range(turns)]]]


def messages(case):
    turns = [{"role": "system", "content": case["system"]}] if case["system"] else []
    for number, user in enumerate(case["users"]):
        turns.append({"role": "user", "content": user})
        if number < len(case["answers"]):
            turns.append({"role": "assistant", "content": case["answers"][number]})
    return turns


def ours(folder, cases, *tokenizer):
    done = subprocess.run([TOOL, folder, *tokenizer], input=json.dumps(cases), capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def without_blanks(case):
    """Answers as llama-3 and llama-2 print them."""
    return dict(case, answers=[answer.strip() for answer in case["answers"]])


def for_ours(name, case):
    """llama-2 puts blanks around an answer, which the model makes itself."""
    if name != "llama-2":
        return case
    return dict(case, answers=[f" {answer} " for answer in case["answers"]])


def byte_level_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIALS,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 5 + ["user\nassistant\nsystem\n The answer is"] * 20, trainer)
    return tokenizer


class Templates(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-chat-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def model_folder(self, name, in_config):
        """A folder with a template in one of its two places, and transformers' tokenizer for it."""
        text = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
        tokens = {"bos_token": BOS.get(name, "<|im_start|>"), "eos_token": "</s>"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level_tokenizer(), chat_template=text, **tokens)
        folder = self.folder / f"{name}-{in_config}"
        folder.mkdir()
        config = dict(tokens, chat_template=text) if in_config else tokens
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        if not in_config:
            (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        return folder, tokenizer

    def test_the_text_is_transformers(self):
        cases = [without_blanks(case) for case in CASES]
        for name, in_config in itertools.product(("llama-2", "llama-3", "llama-3.1", "llama-3.2", "chatml", "smollm2"),
                                                 (True, False)):
            with self.subTest(template=name, in_config=in_config):
                folder, tokenizer = self.model_folder(name, in_config)
                want = [tokenizer.apply_chat_template(messages(case), tokenize=False, add_generation_prompt=True)
                        for case in cases]
                self.assertEqual(ours(folder, [for_ours(name, case) for case in cases]), want)

    def test_the_texts_that_exports_bring_are_transformers(self):
        for name in ("plain", "llama-2", "llama-3", "chatml", "longlora"):
            with self.subTest(template=name):
                folder = self.folder / name
                folder.mkdir()
                text = subprocess.run([TOOL, "--template", name], capture_output=True, text=True, check=True).stdout
                (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
                tokens = {"bos_token": BOS.get(name, "<s>"), "eos_token": "</s>"}
                (folder / "tokenizer_config.json").write_text(json.dumps(tokens), encoding="utf-8")
                tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level_tokenizer(), chat_template=text, **tokens)
                cases = [without_blanks(case) for case in CASES]
                want = [tokenizer.apply_chat_template(messages(case), tokenize=False, add_generation_prompt=True)
                        for case in cases]
                self.assertEqual(ours(folder, [for_ours(name, case) for case in cases]), want)

    def test_byte_level_ids_are_transformers(self):
        cases = [without_blanks(case) for case in CASES]
        for name in ("llama-3", "llama-3.1", "chatml", "smollm2"):
            with self.subTest(template=name):
                folder, tokenizer = self.model_folder(name, in_config=True)
                want = [tokenizer.apply_chat_template(messages(case), add_generation_prompt=True) for case in cases]
                self.assertEqual(ours(folder, cases, folder / "tokenizer.json"), want)

    def test_greedy_answers_are_transformers(self):
        folder, tokenizer = self.model_folder("smollm2", in_config=True)
        torch.manual_seed(1)
        config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                             num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2, max_position_embeddings=2048,
                             eos_token_id=None)
        model = LlamaForCausalLM(config).eval()
        model.save_pretrained(folder)
        system, users, new = "Be kind.", ["Hi", "What is 2 + 2?", "the old house"], 40
        ids, want = [], ""
        for user in users:
            turn = [{"role": "system", "content": system}] if not ids else []
            text = tokenizer.apply_chat_template([*turn, {"role": "user", "content": user}], tokenize=False,
                                                 add_generation_prompt=True)
            if ids:
                text = "<|im_end|>\n" + text[text.index("<|im_start|>user"):]
            ids += tokenizer.encode(text, add_special_tokens=False)
            made = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False,
                                  max_new_tokens=new, repetition_penalty=1.3, pad_token_id=0)[0][len(ids):].tolist()
            ids += made
            want += tokenizer.decode(made, clean_up_tokenization_spaces=False).lstrip() + "\n"
        done = subprocess.run(
            [BIN / "lococo-generate", f"model.path={folder}", "--chat", f"generate.system={system}", "cache.policy=none",
             f"generate.max_new_tokens={new}", "generate.repetition_penalty=1.3", "generate.stop_at_eos=false",
             "distributed.device=cpu"], input="\n".join(users).encode(), capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(done.stdout.decode(), want)

    def test_sentencepiece_ids_are_transformers(self):
        corpus = self.folder / "corpus.txt"
        corpus.write_text("\n".join(TEXTS * 20 + ["[INST] The answer [/INST] <<SYS>> <</SYS>>"] * 20), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(self.folder / "tokenizer"), vocab_size=330, model_type="bpe",
            byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            minloglevel=2)
        template = (TEMPLATES / "llama-2.jinja").read_text(encoding="utf-8")
        (self.folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        tokenizer = LlamaTokenizer(vocab_file=str(self.folder / "tokenizer.model"), legacy=True, chat_template=template)
        # An answer within a text has no blank of its own: one turn only.
        cases = [case for case in CASES if not case["answers"]]
        want = [tokenizer.apply_chat_template(messages(case), add_generation_prompt=True) for case in cases]
        self.assertEqual(ours(self.folder, cases, self.folder / "tokenizer.model"), want)


if __name__ == "__main__":
    main()
