#!/usr/bin/env python3
"""Speed of lococo-prepare with a tokenizer.json beside that of the PyPI package tokenizers.

Both get the same documents and all cores, in turns; the medians are printed. lococo-prepare reads
and parses the documents and writes and syncs a token file in its time, tokenizers has them in memory
and keeps the ids there.

  scripts/bench_tokenizer.py MODEL/tokenizer.json books/*.txt
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "build" / "release" / "bin"


def fail(line):
    print(f"bench_tokenizer.py: error: {line}", file=sys.stderr)
    sys.exit(2)


def read_documents(paths, characters, megabytes):
    """Pieces of the files, repeated until there is enough."""
    pieces = []
    for path in paths:
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{path}: {error}")
        pieces += [text[at:at + characters] for at in range(0, len(text), characters)]
    if not pieces:
        fail("the files hold no text")
    size = sum(len(piece.encode()) for piece in pieces)
    return pieces * max(1, round(megabytes * 1e6 / size))


def seconds_of_ours(tool, tokenizer, source, documents):
    """(seconds, ids without those that end documents)"""
    with tempfile.TemporaryDirectory(prefix="lococo-bench-") as folder:
        done = subprocess.run(
            [tool, f"data.tokenizer={tokenizer}", f"data.train={source}", "data.add_bos=false",
             "data.add_eos=false", f"data.cache_dir={folder}"], capture_output=True, text=True)
    line = re.search(r"(\d+) documents, (\d+) tokens in .*\((\d+) tokens/s\)", done.stderr)
    if done.returncode != 0 or not line:
        fail(f"{tool}: {done.stderr.strip().splitlines()[-1:]}")
    count, tokens, speed = map(int, line.groups())
    if count != documents:
        fail(f"{tool} saw {count} documents of {documents}")
    return tokens / speed, tokens


def seconds_of_theirs(tokenizer, documents):
    start = time.perf_counter()
    encodings = tokenizer.encode_batch_fast(documents, add_special_tokens=False)
    took = time.perf_counter() - start
    return took, sum(len(encoding.ids) for encoding in encodings)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", help="a tokenizer.json")
    parser.add_argument("texts", nargs="+", help="text files")
    parser.add_argument("--characters", type=int, default=20000, help="of a document, at most")
    parser.add_argument("--megabytes", type=float, default=20, help="of text, about")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tool", default=str(TOOLS / "lococo-prepare"))
    arguments = parser.parse_args()
    try:
        from tokenizers import Tokenizer
    except ImportError:
        fail("tokenizers is not installed; use the Python of .venv")
    if not os.access(arguments.tool, os.X_OK):
        fail(f"{arguments.tool} is not there; build it, or name it with --tool")
    try:
        tokenizer = Tokenizer.from_file(arguments.tokenizer)
    except Exception as error:  # the package raises nothing narrower
        fail(f"{arguments.tokenizer}: {error}")

    documents = read_documents(arguments.texts, arguments.characters, arguments.megabytes)
    size = sum(len(document.encode()) for document in documents)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="lococo-bench-") as folder:
        source = pathlib.Path(folder) / "documents.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
        for _ in range(arguments.repeat):
            ours.append(seconds_of_ours(arguments.tool, arguments.tokenizer, source, len(documents)))
            theirs.append(seconds_of_theirs(tokenizer, documents))
    if {tokens for _, tokens in ours} != {tokens for _, tokens in theirs}:
        fail(f"the numbers of tokens differ: {ours[0][1]} and {theirs[0][1]}")

    print(f"{len(documents)} documents, {size / 1e6:.1f} MB, {ours[0][1]} tokens, {os.cpu_count()} cores")
    medians = []
    for name, runs in (("lococo-prepare", ours), ("tokenizers", theirs)):
        seconds = statistics.median(took for took, _ in runs)
        medians.append(seconds)
        print(f"  {name:15} {seconds:7.2f} s  {size / seconds / 1e6:6.2f} MB/s  {runs[0][1] / seconds:10.0f} tokens/s")
    print(f"  lococo-prepare is {medians[1] / medians[0]:.2f} times as fast")


if __name__ == "__main__":
    main()
