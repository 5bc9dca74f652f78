#!/usr/bin/env python3
"""Writes the demo's corpus: invented chronicles whose later text depends on what was told far earlier.

Every document has its own cast, drawn from the names that all documents share: twenty people, the
few families they belong to, and a few places. Nothing but the document itself tells who lives in it
and to which family a person belongs. Scenes of a few sentences bring three people together at a
place; most people return many scenes later. Who remembers the whole document knows whom to expect
and what they are called, who sees only the latest scenes has to guess.

With --texts the documents are those of the given files instead. Either way the folder receives
train.jsonl and validation.jsonl (key "text") and tokenizer.txt, a sample of the former for training
a tokenizer. Standard library only; the same seed writes the same bytes.
"""
import argparse
import json
import pathlib
import random
import sys

CONSONANTS = "b d f g k l m n r s t v".split()
VOWELS = "a e i o u".split()
SENTENCES = ["{a} met {b}.", "{a} saw {b}.", "{a} met {b} at {p}.", "{a} and {b} went to {p}.",
             "{a} is at {p}.", "{a} asked for {b}.", "{b} left {p}.", "{a} wrote to {b}."]
FILLERS = ["It rained all day.", "The road was quiet.", "Then the dogs barked.",
           "The fire burned low.", "Nobody spoke.", "It was late."]
FILLER_SHARE = 0.1
FIRST_NAMES, FAMILY_NAMES, PLACES = 80, 40, 40  # that all documents share

TOKENIZER_BYTES = 2_000_000
TOKENIZER_LINE = 1000  # the tokenizer's trainer leaves out lines beyond 4192 bytes
HELD_OUT = 10  # of the given texts every tenth document


def invent_words(rng, count, taken):
    """Pronounceable words of two syllables, none of them in `taken`, which grows."""
    words = []
    while len(words) < count:
        word = "".join(rng.choice(letters) for letters in (CONSONANTS, VOWELS) * 2).capitalize()
        if word not in taken:
            taken.add(word)
            words.append(word)
    return words


class World:
    """The names that all documents share."""

    def __init__(self, rng):
        taken = set()
        self.first_names = invent_words(rng, FIRST_NAMES, taken)
        self.family_names = invent_words(rng, FAMILY_NAMES, taken)
        self.places = invent_words(rng, PLACES, taken)


def write_scene(rng, people, place):
    sentences = []
    for _ in range(rng.randint(2, 4)):
        if rng.random() < FILLER_SHARE:
            sentences.append(rng.choice(FILLERS))
        else:
            a, b = rng.sample(people, 2)
            sentences.append(rng.choice(SENTENCES).format(a=a, b=b, p=place))
    return " ".join(sentences)


def write_document(rng, world, options):
    """Scenes until the document is long enough."""
    families = rng.sample(world.family_names, options.families)
    people = [f"{name} {rng.choice(families)}"
              for name in rng.sample(world.first_names, options.cast)]
    places = rng.sample(world.places, options.families)
    scenes, words = [], 0
    while words < options.words:
        scenes.append(write_scene(rng, rng.sample(people, 3), rng.choice(places)))
        words += len(scenes[-1].split())
    return "\n".join(scenes) + "\n"


def invent_documents(options):
    rng = random.Random(options.seed)
    world = World(rng)
    train = [write_document(rng, world, options) for _ in range(options.train)]
    return train, [write_document(rng, world, options) for _ in range(options.validation)]


def read_documents(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".jsonl":
        return [text] if text.strip() else []
    return [json.loads(line)["text"] for line in text.splitlines() if line.strip()]


def split_documents(paths):
    """The given texts: every tenth document, or the last tenth of a single one, is held out."""
    documents = [text for path in paths for text in read_documents(path)]
    if not documents:
        sys.exit("make_corpus: the given files hold no text")
    if len(documents) == 1:
        text = documents[0]
        cut = len(text) - len(text) // HELD_OUT
        return [text[:cut]], [text[cut:]]
    held_out = [i % HELD_OUT == min(HELD_OUT, len(documents)) - 1 for i in range(len(documents))]
    return ([text for text, out in zip(documents, held_out) if not out],
            [text for text, out in zip(documents, held_out) if out])


def write_jsonl(path, documents):
    with open(path, "w", encoding="utf-8") as out:
        for text in documents:
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


def write_tokenizer_sample(path, documents):
    """The beginnings of all documents, together about TOKENIZER_BYTES."""
    share = max(TOKENIZER_LINE, TOKENIZER_BYTES // len(documents))
    with open(path, "w", encoding="utf-8") as out:
        for text in documents:
            for line in text[:share].splitlines():
                for begin in range(0, len(line), TOKENIZER_LINE):
                    out.write(line[begin:begin + TOKENIZER_LINE] + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path, help="receives the files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=int, default=1500, help="documents to train on")
    parser.add_argument("--validation", type=int, default=48, help="documents held out")
    parser.add_argument("--words", type=int, default=1000, help="of a document, at least")
    parser.add_argument("--cast", type=int, default=20, help="people of a document")
    parser.add_argument("--families", type=int, default=6, help="and as many places of a document")
    parser.add_argument("--texts", type=pathlib.Path, nargs="+", help="text or JSONL files to use")
    options = parser.parse_args()
    train, validation = split_documents(options.texts) if options.texts else \
        invent_documents(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(options.folder / "train.jsonl", train)
    write_jsonl(options.folder / "validation.jsonl", validation)
    write_tokenizer_sample(options.folder / "tokenizer.txt", train)
    print(f"{len(train)} documents to train on, {len(validation)} held out")


if __name__ == "__main__":
    main()
