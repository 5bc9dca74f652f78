#!/usr/bin/env python3
"""The presses of NVIDIA's kvpress on the prompts of lococo-eval, to compare our policies with.

    peer_kvpress.py --install build/kvpress      # a virtual environment of its own; then run by
                                                 # build/kvpress/bin/python
    lococo-eval configs/smollm2.yaml data.validation=novels eval.task=passkey \\
                eval.answerer=oracle eval.samples=passkey.jsonl
    peer_kvpress.py --model models/smollm2-135m --samples passkey.jsonl --dry-run
    peer_kvpress.py --model models/smollm2-135m --samples passkey.jsonl --kept 256 512 \\
                    --output peer.json
    peer_kvpress.py --merge peer.json ours.json  # one table, also of lococo-eval's eval.output

A press reads a prompt's context with full attention, keeps KEPT keys of each head, and then the
question is read and answered greedily; the question is not in view when it compresses. Keys keep
their positions. Presses: full, streaming, snapkv, observed (H2O's score, in one shot), tova, expected
(the attention that queries like those of the text will pay), kvzip, merging (dropped values are
folded into the keys that snapkv keeps). "snapkv-32" and "merging-32" look through the last 32
queries instead of 64. kvzip reads the context a second time and spreads its keys over layers and
heads: KEPT is their mean.

--segments: lines {"ids": [...]}, as lococo-eval's eval.per_token=FILE.jsonl writes them; all but the
last 129 tokens are compressed, NLL of the last 128.
Prompts are run in waves in which every press answers the same ones; --minutes stops before a wave.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import peer_scoring as scoring
from peer_model import TARGETS, Peer
from peer_scoring import BadInput

REQUIREMENTS = ["kvpress==0.5.5", "torch==2.11.0", "transformers==4.57.1"]
DEFAULT = ["full", "streaming", "snapkv", "observed", "tova", "merging-32"]
NOTE = ("Presses read the whole context with full attention before they compress it once; none has "
        "the question in view.")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", metavar="FOLDER", help="make the virtual environment, and end")
    parser.add_argument("--merge", nargs="+", metavar="JSON",
                        help="one table of outputs of this script and of lococo-eval's tasks")
    parser.add_argument("--model", help="Hugging Face folder")
    parser.add_argument("--samples", nargs="*", default=[], metavar="JSONL")
    parser.add_argument("--segments", metavar="JSONL")
    parser.add_argument("--presses", nargs="+", default=DEFAULT, metavar="PRESS",
                        help="default: " + " ".join(DEFAULT))
    parser.add_argument("--kept", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--limit", type=int, default=0,
                        help="samples of each task, kind, length and depth; 0: all")
    parser.add_argument("--minutes", type=float, default=0.0, help="0: no limit")
    parser.add_argument("--wave", type=int, default=64, help="prompts that are answered together")
    parser.add_argument("--prefill-tokens", type=int, default=32768,
                        help="tokens of prompts of equal length that are read together")
    parser.add_argument("--device", help="default: cuda where there is one")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"],
                        help="default: bfloat16 on a GPU, else float32")
    parser.add_argument("--dry-run", action="store_true",
                        help="time one prompt of each press and print what all would take at most")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--answers", help="JSONL file of every answer and its score")
    return parser.parse_args()


def install(folder):
    python = pathlib.Path(folder) / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
    print(f"{folder}: {', '.join(REQUIREMENTS)}; run this script with {python}")


class Run:
    """Waves of prompts and segments through all presses, within the time."""

    def __init__(self, peer, arguments):
        self.peer, self.arguments = peer, arguments
        self.results, self.nlls, self.notes = [], [], [NOTE]
        self.policies = [(name, kept) for name in arguments.presses
                         for kept in ([None] if name == "full" else arguments.kept)]
        self.started = time.monotonic()

    def out_of_time(self):
        minutes = self.arguments.minutes
        return minutes > 0 and time.monotonic() - self.started > 60 * minutes

    def waves(self, items, body):
        """body(policy, kept, wave) for every policy; one that fails is given up, and said so."""
        size = self.arguments.wave
        for begin in range(0, len(items), size):
            if self.out_of_time():
                self.note(f"stopped after {begin} of {len(items)} by --minutes")
                return
            for name, kept in list(self.policies):
                try:
                    body(name, kept, items[begin:begin + size])
                except (ValueError, RuntimeError) as error:
                    line = str(error).strip().splitlines()[0] if str(error).strip() else ""
                    self.note(f"{name} with {kept or 'all'} keys does not run: "
                              f"{type(error).__name__}: {line}")
                    self.policies.remove((name, kept))
            done = min(begin + size, len(items))
            print(f"peer_kvpress: {done} of {len(items)}, {time.monotonic() - self.started:.0f} s",
                  file=sys.stderr, flush=True)

    def note(self, text):
        self.notes.append(text)
        print("peer_kvpress: " + text, file=sys.stderr, flush=True)

    def answer_samples(self, samples, answers):
        def body(name, kept, wave):
            for sample, (scores, answer) in zip(wave, self.peer.answer(name, kept, wave)):
                self.results.append((name, kept, sample, scores))
                if answers:
                    keys = ("task", "kind", "length", "depth", "trial")
                    row = {"policy": name, "kept": kept, "answer": answer, **scores}
                    row |= {key: sample[key] for key in keys if key in sample}
                    answers.write(json.dumps(row, ensure_ascii=False) + "\n")
        self.waves(samples, body)

    def read_segments(self, segments):
        def body(name, kept, wave):
            self.nlls += [(name, kept, nll) for nll in self.peer.segment_nlls(name, kept, wave)]
        self.waves(segments, body)

    def dry_run(self, samples, segments):
        """Seconds of one prompt of the greatest length, which all have at most."""
        total = 0.0
        for name, kept in self.policies:
            if samples:
                longest = max(samples, key=lambda s: len(s["context_ids"]))
                total += len(samples) * self.timed(self.peer.answer, name, kept, [longest])
            if segments:
                total += len(segments) * self.timed(self.peer.segment_nlls, name, kept,
                                                    [max(segments, key=len)])
        print(f"{len(samples)} prompts and {len(segments)} segments, {len(self.policies)} policies:"
              f" at most {total / 60:.1f} minutes (prompts read and answered together take less)")

    @staticmethod
    def timed(body, *arguments):
        seconds = []
        for _ in range(2):  # the first one also loads kernels
            begin = time.perf_counter()
            body(*arguments)
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    def report(self):
        return {**self.peer.about, "notes": self.notes,
                "seconds": round(time.monotonic() - self.started, 1),
                "cells": scoring.summarize(self.results), "nll": scoring.summarize_nll(self.nlls)}


def print_table(report):
    print(scoring.table(report))
    print("\n" + "\n".join(report["notes"]))


def chosen_samples(paths, limit):
    samples = [sample for path in paths for sample in scoring.read_samples(path)]
    seen, chosen = {}, []
    for sample in scoring.interleaved(samples):
        cell = scoring.cell_of(sample)
        seen[cell] = seen.get(cell, 0) + 1
        if not limit or seen[cell] <= limit:
            chosen.append(sample)
    return chosen


def run(arguments):
    samples = chosen_samples(arguments.samples, arguments.limit)
    segments = scoring.read_segments(arguments.segments, TARGETS) if arguments.segments else []
    if not arguments.model or not (samples or segments):
        raise BadInput("--model and --samples or --segments are needed; see --help")
    if min(arguments.kept) < 1:
        raise BadInput("--kept: at least 1")
    peer = Peer(arguments)
    work = Run(peer, arguments)
    with peer.torch.inference_mode():
        if arguments.dry_run:
            return work.dry_run(samples, segments)
        if arguments.answers:
            with open(arguments.answers, "w", encoding="utf-8") as answers:
                work.answer_samples(samples, answers)
        else:
            work.answer_samples(samples, None)
        work.read_segments(segments)
    report = work.report()
    print_table(report)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")


def main():
    arguments = parse_arguments()
    try:
        if arguments.install:
            install(arguments.install)
        elif arguments.merge:
            print_table(scoring.merged(arguments.merge))
        else:
            run(arguments)
    except (BadInput, OSError, ValueError) as error:
        print(f"peer_kvpress: {error}", file=sys.stderr)
        sys.exit(2)
    except subprocess.CalledProcessError as error:
        print(f"peer_kvpress: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
