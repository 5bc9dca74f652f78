"""scripts/bench_tokenizer.py on a tiny tokenizer. Exit code 4: tokenizers is not installed."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import tiny_files as tiny

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "bench_tokenizer.py"
TOOL = pathlib.Path(os.environ["LOCOCO_BIN"]) / "lococo-prepare"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, "--tool", TOOL, *arguments], capture_output=True, text=True)


def main():
    if not importlib.util.find_spec("tokenizers"):
        return 4
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = os.path.join(folder, "tokenizer.json")
        tiny.write_text(tokenizer, json.dumps(tiny.bpe_tokenizer()))
        texts = tiny.write_text(os.path.join(folder, "text.txt"), "the land and the sea, " * 100)
        done = run(tokenizer, texts, "--characters", "500", "--megabytes", "0.01", "--repeat", "1")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].startswith("25 documents, 0.0 MB, "), lines  # 5 pieces, 5 times
        assert [line.split()[0] for line in lines[1:]] == ["lococo-prepare", "tokenizers", "lococo-prepare"]

        done = run(texts, texts)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and texts in done.stderr, done.stderr
        done = run(tokenizer, os.path.join(folder, "none"))
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    print("1 passed, 0 failed, 0 skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
