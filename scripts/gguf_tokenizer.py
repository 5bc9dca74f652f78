"""The tokenizer of a GGUF file in Hugging Face's form: tokenizer.json for byte-level BPE,
tokenizer.model for SentencePiece. What cannot be carried over exactly is refused by name."""

import json
import struct

# Kinds of tokens; SentencePiece numbers its pieces alike.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# Llama-3's words: contractions, letters, numbers of up to three digits, marks, white space.
LLAMA3_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
                r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


class Refused(Exception):
    """What the file asks for cannot be expressed; one readable line."""


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": use_regex}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


# tokenizer.ggml.pre -> (pre-tokenizer, words of the vocabulary skip the merges, a BOS by default)
PRE_TOKENIZERS = {
    "gpt-2": (byte_level(True), False, False),
    "smollm": (sequence({"type": "Digits", "individual_digits": True}, byte_level(True)),
               False, False),
    "llama-bpe": (sequence({"type": "Split", "pattern": {"Regex": LLAMA3_WORDS},
                            "behavior": "Isolated", "invert": False}, byte_level(False)),
                  True, True),
}


class GgufTokenizer:
    """What tokenizer.* of a file say, from all its keys."""

    def __init__(self, fields):
        self.fields = fields
        self.model = self.get("ggml.model", str)
        self.tokens = self.list("tokens", str)
        self.types = self.list("token_type", int, [NORMAL] * len(self.tokens))
        self.special = {}  # role -> id
        for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
            token = self.get(f"ggml.{key}_token_id", int, None)
            if token is not None and not 0 <= token < len(self.tokens):
                raise Refused(f"tokenizer.ggml.{key}_token_id: {token} is none of the "
                              f"{len(self.tokens)} tokens")
            if token is not None:
                self.special[role] = token
        self.chat_template = self.get("chat_template", str, None)
        self.kind = {"gpt2": ByteLevelBpe, "llama": SentencePiece}.get(self.model)
        if self.kind is None:
            raise Refused(f'tokenizer.ggml.model "{self.model}" is not supported, only gpt2 '
                          "(byte-level BPE) and llama (SentencePiece)")

    def files(self):
        """{file name: bytes} of the tokenizer in a Hugging Face folder."""
        kind = self.kind(self)
        config = {"tokenizer_class": kind.TRANSFORMERS_CLASS, "add_bos_token": kind.add_bos,
                  "add_eos_token": False, "clean_up_tokenization_spaces": False}
        config |= {f"{role}_token": self.tokens[token] for role, token in self.special.items()}
        config |= kind.MORE_CONFIG
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        return {kind.FILE: kind.content(), "tokenizer_config.json": to_json(config)}

    def get(self, name, kind, *default):
        """The value of tokenizer.NAME; without a default it must be there."""
        if "tokenizer." + name not in self.fields:
            if not default:
                raise Refused(f"tokenizer.{name} is missing")
            return default[0]
        value = self.fields["tokenizer." + name]
        if not isinstance(value, kind):
            raise Refused(f"tokenizer.{name} is {value!r:.40}, no {kind.__name__}")
        return value

    def list(self, name, kind, *default):
        """One entry for each token."""
        values = self.get("ggml." + name, list, *default)
        if not all(isinstance(value, kind) for value in values):
            raise Refused(f"tokenizer.ggml.{name}: an entry is no {kind.__name__}")
        if name != "tokens" and len(values) != len(self.tokens):
            raise Refused(f"tokenizer.ggml.{name}: {len(values)} entries for "
                          f"{len(self.tokens)} tokens")
        return values

    def flag(self, name, default):
        return self.get("ggml." + name, bool, default)

    def adds_bos(self, default):
        if self.flag("add_eos_token", False):
            raise Refused("tokenizer.ggml.add_eos_token is true; an EOS after every text is not "
                          "supported")
        adds = self.flag("add_bos_token", default)
        if adds and "bos" not in self.special:
            raise Refused("tokenizer.ggml.bos_token_id is missing, but texts begin with a BOS")
        return adds


def to_json(value):
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


class ByteLevelBpe:
    FILE = "tokenizer.json"
    TRANSFORMERS_CLASS = "PreTrainedTokenizerFast"
    # Its default has token_type_ids, which generate() of a LLaMA refuses.
    MORE_CONFIG = {"model_input_names": ["input_ids", "attention_mask"]}

    def __init__(self, source):
        self.source = source
        pre = source.get("ggml.pre", str, None)
        if pre not in PRE_TOKENIZERS:
            found = "is missing" if pre is None else f'"{pre}" is not supported'
            raise Refused(f"tokenizer.ggml.pre {found}; known are {', '.join(PRE_TOKENIZERS)}")
        self.pre_tokenizer, self.ignore_merges, bos = PRE_TOKENIZERS[pre]
        self.add_bos = source.adds_bos(bos)

    def vocabulary(self):
        vocabulary = {token: i for i, token in enumerate(self.source.tokens)}
        if len(vocabulary) != len(self.source.tokens):
            raise Refused("tokenizer.ggml.tokens: a token occurs twice")
        return vocabulary

    def merges(self, vocabulary):
        pairs = []
        for i, merge in enumerate(self.source.get("ggml.merges", list)):
            pair = str(merge).split(" ")
            if len(pair) != 2 or any(t not in vocabulary for t in (*pair, "".join(pair))):
                raise Refused(f'tokenizer.ggml.merges: number {i}, "{merge}", is not two tokens '
                              "whose union is a token")
            pairs.append(pair)
        return pairs

    def post_processor(self):
        if not self.add_bos:
            return None
        bos = self.source.special["bos"]
        name = self.source.tokens[bos]
        first = {"SpecialToken": {"id": name, "type_id": 0}}
        texts = [{"Sequence": {"id": text, "type_id": i}} for i, text in enumerate("AB")]
        return {"type": "TemplateProcessing", "single": [first, texts[0]],
                "pair": [first, texts[0], first | {"SpecialToken": {"id": name, "type_id": 1}},
                         texts[1]],
                "special_tokens": {name: {"id": name, "ids": [bos], "tokens": [name]}}}

    def content(self):
        vocabulary = self.vocabulary()
        added = [{"id": i, "content": self.source.tokens[i], "single_word": False,
                  "lstrip": False, "rstrip": False, "normalized": False,
                  "special": kind == CONTROL}
                 for i, kind in enumerate(self.source.types) if kind in (CONTROL, USER_DEFINED)]
        return to_json({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None, "pre_tokenizer": self.pre_tokenizer,
            "post_processor": self.post_processor(), "decoder": byte_level(True),
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": self.ignore_merges, "vocab": vocabulary,
                      "merges": self.merges(vocabulary)}})


class SentencePiece:
    FILE = "tokenizer.model"
    TRANSFORMERS_CLASS = "LlamaTokenizer"
    MORE_CONFIG = {"legacy": False}  # no space is put before text that follows a special token

    def __init__(self, source):
        self.source = source
        self.add_bos = source.adds_bos(True)
        self.scores = source.list("scores", float)
        if UNKNOWN not in source.types:
            raise Refused("tokenizer.ggml.token_type: no token is the unknown one, which "
                          "SentencePiece demands")
        if source.get("ggml.precompiled_charsmap", list, None):
            raise Refused("tokenizer.ggml.precompiled_charsmap: a normalization of texts is not "
                          "supported")

    def content(self):
        """The ModelProto of sentencepiece_model.proto, whose numbers these are."""
        source = self.source
        pieces = [field(1, field(1, token) + field(2, score) + field(3, kind))
                  for token, score, kind in zip(source.tokens, self.scores, source.types)]
        trainer = [field(3, 2), field(4, len(source.tokens)), field(35, BYTE in source.types)]
        special = source.special | {"unk": source.types.index(UNKNOWN)}
        for i, role in enumerate(("unk", "bos", "eos", "pad")):
            token = special.get(role, -1)
            trainer.append(field(40 + i, token))
            if token >= 0:
                trainer.append(field(45 + i, source.tokens[token]))
        normalizer = [field(1, "identity"), field(3, source.flag("add_space_prefix", True)),
                      field(4, source.flag("remove_extra_whitespaces", False)), field(5, True)]
        return b"".join(pieces + [field(2, b"".join(trainer)), field(3, b"".join(normalizer))])


def varint(number):
    number &= (1 << 64) - 1  # negative ones in two's complement
    groups = [number & 127]
    while number := number >> 7:
        groups[-1] |= 128
        groups.append(number & 127)
    return bytes(groups)


def field(number, value):
    """A field of a protocol buffer: an integer, a float, a text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value
