#!/usr/bin/env python3
"""Records of supervised fine-tuning from the questions that lococo-eval asks: documents with several
facts in them, and a question and its answer for each.

    lococo-eval configs/smollm2_sft.yaml data.validation=novels eval.task=needle eval.split=train \\
        'eval.kinds=[multikey,words,names]' eval.lengths=1000 eval.trials=1000 eval.answerer=oracle \\
        generate.chat_template=none eval.samples=samples.jsonl
    scripts/make_sft_records.py samples.jsonl --tokenizer models/smollm2-135m/tokenizer.json \\
        --pieces 8 --output pairs.jsonl

A document is the texts of --pieces samples in a row (the last ones: of what is left), drawn with
--seed; behind it stand their questions in another drawn order, as a conversation (docs/sft.md). The
user says the document and the first question, then the others; each answer is the sentence whose
beginning the needle task gives, so that a model tuned on these records answers that task. Samples
are asked in plain text (generate.chat_template=none), and read with byte-level BPE
(tokenizer.json). No two questions of a document have the same words. Standard library only; the
same seed writes the same bytes.
"""

import argparse
import collections
import json
import random

from script_files import check_output, new_file, read_json, read_json_lines, taken_for
from tool_runs import Fault, run_as_script

END = "?"  # of every question; behind it a plain prompt has the beginning of the answer
GIVE_SAMPLES = "give what lococo-eval wrote to eval.samples, whole"
GIVE_TOKENIZER = "give the tokenizer.json of the model that the samples were made with"


class ByteLevelTokens:
    """Ids of a byte-level BPE as text; special tokens are none."""

    def __init__(self, path):
        self.path = path
        tokenizer = read_json(path, GIVE_TOKENIZER)
        with taken_for("a tokenizer.json", path, GIVE_TOKENIZER):
            if (tokenizer.get("decoder") or {}).get("type") != "ByteLevel":
                raise Fault(f"{path}: no byte-level BPE; other tokenizers are not read here")
            letters = {letter: byte for byte, letter in enumerate(byte_letters())}
            self.bytes = {number: bytes(letters[letter] for letter in token)
                          for token, number in tokenizer["model"]["vocab"].items()
                          if all(letter in letters for letter in token)}
            for token in tokenizer.get("added_tokens", []):
                self.bytes[token["id"]] = (b"" if token["special"] else
                                           token["content"].encode("utf-8"))

    def text(self, ids, place):
        try:
            return b"".join(self.bytes[number] for number in ids).decode("utf-8")
        except (KeyError, UnicodeDecodeError):
            raise Fault(f"{place}: its tokens are no text with {self.path}; {GIVE_TOKENIZER}") from None


def byte_letters():
    """The letter that GPT-2's vocabulary writes for each byte."""
    shown = [byte for byte in range(256)
             if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


Piece = collections.namedtuple("Piece", "text question prefix answer")


def piece_of(sample, tokens, place):
    with taken_for("a sample of lococo-eval", place, GIVE_SAMPLES):
        asked = tokens.text(sample["question_ids"], place)
        text = tokens.text(sample["context_ids"], place)
        answer = sample["answers"][0]
        answer.encode("utf-8")  # a text, and one that can be written
    question, found, prefix = asked.partition(END)
    if not found or not prefix.startswith(" "):
        raise Fault(f"{place}: is no needle in plain text; make the samples with eval.task=needle "
                    "and generate.chat_template=none")
    return Piece(text, question.strip() + END, prefix.strip(), answer)


def read_pieces(path, tokens):
    return [piece_of(sample, tokens, place)
            for place, sample in read_json_lines(path, GIVE_SAMPLES)]


def documents_of(pieces, count):
    """Lists of `count` pieces in their order, the last ones of fewer. A piece whose question, or the
    beginning of whose answer, stands in a document already waits for the next one; one whose own text
    has that beginning twice is left out."""
    waiting, documents = collections.deque(piece for piece in pieces if fits(piece, [])), []
    while waiting:
        document, passed = [], []
        while waiting and len(document) < count:
            piece = waiting.popleft()
            (document if fits(piece, document) else passed).append(piece)
        waiting.extendleft(reversed(passed))
        documents.append(document)
    return documents


def fits(piece, document):
    if piece.text.count(piece.prefix) > 1:
        return False
    return all(piece.question != other.question and piece.prefix not in other.text and
               other.prefix not in piece.text for other in document)


def record_of(document, rng):
    """Messages: the document and its first question, the answer, the next question, ..."""
    asked = rng.sample(document, len(document))
    text = "".join(piece.text for piece in document)
    messages = []
    for i, piece in enumerate(asked):
        question = (text if i == 0 else "") + piece.question
        answer = f"{piece.prefix} {piece.answer}".strip()
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def make_records(samples, tokenizer, count, seed):
    tokens, rng = ByteLevelTokens(tokenizer), random.Random(seed)
    pieces = [piece for path in samples for piece in read_pieces(path, tokens)]
    rng.shuffle(pieces)
    return [record_of(document, rng) for document in documents_of(pieces, count)], len(pieces)


def write_records(path, records):
    with new_file(path) as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="+", help="files of eval.samples")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json of the samples' ids")
    parser.add_argument("--pieces", type=int, required=True, help="samples, so questions, a document")
    parser.add_argument("--most", type=int, default=0, help="documents; 0: all that there are")
    parser.add_argument("--output", required=True, help="JSONL file")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.pieces < 1:
        raise Fault("--pieces: a document has at least one")
    if arguments.most < 0:
        raise Fault(f"--most {arguments.most}: give a number of documents, or 0 for all")
    check_output(arguments.output, [*arguments.samples, arguments.tokenizer])
    records, samples = make_records(arguments.samples, arguments.tokenizer, arguments.pieces,
                                    arguments.seed)
    records = records[:arguments.most or None]
    if not records:
        raise Fault(f"{', '.join(arguments.samples)}: no question there that a document can be made "
                    f"of; {GIVE_SAMPLES}")
    write_records(arguments.output, records)
    questions = sum(len(record["messages"]) // 2 for record in records)
    print(f"{len(records)} documents with {questions} of {samples} questions")


if __name__ == "__main__":
    run_as_script(main)
