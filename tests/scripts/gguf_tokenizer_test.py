"""scripts/gguf_to_hf.py: tokenizers of GGUF files against those that they were made from."""

import json

from counted import main
from tiny_gguf import TEXTS, Bpe, Conversion, Pieces, tiny_model, training_lines

# Behind tiny_gguf, which says what is not installed.
import sentencepiece
import tokenizers
from transformers import AutoTokenizer


class Tokenizers(Conversion):
    def test_byte_level_bpe_gives_the_ids_of_the_original(self):
        for pre in ("smollm", "gpt-2", "llama-bpe"):
            with self.subTest(pre):
                self.setUp()
                bpe = Bpe(pre)
                output = self.convert(self.write(tiny_model(len(bpe.tokens)), bpe))
                converted = tokenizers.Tokenizer.from_file(str(output / "tokenizer.json"))
                loaded = AutoTokenizer.from_pretrained(output)
                bos = [1] if pre == "llama-bpe" else []
                for text in TEXTS + training_lines()[:50]:
                    ids = bpe.ids(text)
                    self.assertEqual(converted.encode(text, add_special_tokens=False).ids, ids)
                    self.assertEqual(converted.encode(text).ids, bos + ids)
                    self.assertEqual(loaded(text)["input_ids"], bos + ids)
                    self.assertEqual(converted.decode(ids, skip_special_tokens=False), text)
                self.assertEqual(loaded.chat_template, bpe.keys["chat_template"])
                self.assertEqual((loaded.bos_token, loaded.eos_token, loaded.unk_token),
                                 ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
                self.assertNotIn("<tool>", loaded.all_special_tokens)

    def test_pre_tokenizers_differ_where_they_should(self):
        # Else the equality above could hold with the wrong one.
        ids = {pre: Bpe(pre).reference.pre_tokenizer.pre_tokenize_str("it's 12345\n\nA'LL")
               for pre in ("smollm", "gpt-2", "llama-bpe")}
        self.assertEqual(len({json.dumps(value) for value in ids.values()}), 3)

    def test_the_file_says_whether_a_bos_is_added(self):
        for adds in (True, False):
            self.setUp()
            output = self.convert(self.write(keys={"ggml.add_bos_token": adds}))
            converted = tokenizers.Tokenizer.from_file(str(output / "tokenizer.json"))
            self.assertEqual(converted.encode("a").ids, [1] * adds + self.bpe.ids("a"))
            config = json.loads((output / "tokenizer_config.json").read_text())
            self.assertEqual(config["add_bos_token"], adds)

    def test_sentencepiece_gives_the_ids_of_the_original(self):
        pieces = Pieces(self.folder)
        output = self.convert(self.write(tiny_model(len(pieces.tokens)), pieces))
        converted = sentencepiece.SentencePieceProcessor(str(output / "tokenizer.model"))
        loaded = AutoTokenizer.from_pretrained(output, use_fast=False)
        for text in TEXTS + training_lines()[:50]:
            self.assertEqual(converted.encode(text), pieces.ids(text), text)
            self.assertEqual(converted.decode(pieces.ids(text)),
                             pieces.reference.decode(pieces.ids(text)))
        self.assertEqual(loaded("the sea 42")["input_ids"], [1] + pieces.ids("the sea 42"))
        self.assertEqual([converted.bos_id(), converted.eos_id(), converted.pad_id()], [1, 2, -1])

    def test_spaces_are_treated_as_the_file_says(self):
        pieces = Pieces(self.folder)
        output = self.convert(self.write(tiny_model(len(pieces.tokens)), pieces,
                                         keys={"ggml.add_space_prefix": False}))
        converted = sentencepiece.SentencePieceProcessor(str(output / "tokenizer.model"))
        self.assertEqual(converted.decode(converted.encode(" the sea")), " the sea")
        self.assertNotEqual(converted.encode("the sea"), pieces.ids("the sea"))


if __name__ == "__main__":
    main()
