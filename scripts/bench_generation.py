#!/usr/bin/env python3
"""Speed of generation beside transformers, one after the other on the same prompt: greedy, one text.

    scripts/bench_generation.py --model models/smollm2-135m --threads 2
    scripts/bench_generation.py --model models/smollm2-135m --device cuda --dtype bfloat16

Each program generates twice in one go after a first, short time; the better rate of lococo-generate's
own line counts for ours, the better of two timed calls for transformers (with its dynamic cache and
with a static, compiled one where --compile asks for it). Loading is not counted.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import time

from tool_runs import Fault, run_as_script

PROMPT = ("The lighthouse stood at the end of a long spit of sand, and for forty years the same man "
          "had climbed its stairs every evening. ")
RATES = re.compile(r"(\d+) tokens in ([\d.]+) s \(.*?\) after a prompt of (\d+) in ([\d.]+) s")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=0, help="on a CPU; 0: all")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument("--compile", action="store_true", help="transformers' static cache too")
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args()


def ours(arguments, ids):
    command = [str(pathlib.Path(arguments.bin) / "lococo-generate"), f"model.path={arguments.model}",
               f"model.dtype={arguments.dtype}", f"distributed.device={arguments.device}",
               f"distributed.threads={arguments.threads}", "generate.stop_at_eos=false",
               f"generate.max_new_tokens={arguments.new_tokens}", "--ids",
               "--prompt-ids", " ".join(map(str, ids))]
    best, made = 0.0, []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = RATES.search(done.stderr)
        if done.returncode != 0 or not found:
            raise Fault(f"lococo-generate failed: {done.stderr.strip()[-300:]}")
        best = max(best, int(found.group(1)) / float(found.group(2)))
        made = [int(token) for token in done.stdout.split()]
    return best, made


def theirs(arguments, ids, cache):
    """With one token less counted: transformers' call contains the prompt, whose time is taken off."""
    import torch
    from transformers import AutoModelForCausalLM
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = AutoModelForCausalLM.from_pretrained(arguments.model,
                                                 dtype=getattr(torch, arguments.dtype))
    model = model.to(arguments.device).eval()
    prompt = torch.tensor([ids], device=arguments.device)

    def generate(count):
        begin = time.perf_counter()
        with torch.inference_mode():
            made = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                                  max_new_tokens=count, min_new_tokens=count, **cache)
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin, made[0, len(ids):].tolist()

    generate(8)
    if cache:
        generate(arguments.new_tokens)  # compiles
    best, made = 0.0, []
    for _ in range(2):
        first, _ = generate(1)
        seconds, made = generate(arguments.new_tokens)
        best = max(best, (arguments.new_tokens - 1) / (seconds - first))
    return best, made


def main():
    arguments = parse_arguments()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise Fault(f"{error}; install scripts/requirements.txt") from error
    if not pathlib.Path(arguments.model, "config.json").exists():
        raise Fault(f"{arguments.model}: no such model; scripts/get_smollm2.sh makes one")
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    ids = tokenizer(PROMPT * 64, add_special_tokens=False)["input_ids"][:arguments.prompt_tokens]
    rate, made = ours(arguments, ids)
    rows = [{"program": "lococo-generate", "tokens_per_s": rate}]
    kinds = [("transformers", {})]
    if arguments.compile:
        kinds.append(("transformers, static cache", {"cache_implementation": "static"}))
    for name, cache in kinds:
        rate, their = theirs(arguments, ids, cache)
        same = next((i for i, (a, b) in enumerate(zip(made, their)) if a != b), len(made))
        rows.append({"program": name, "tokens_per_s": rate, "same_ids": same})
    print(f"{arguments.new_tokens} tokens after {len(ids)}, {arguments.device}, {arguments.dtype}")
    for row in rows:
        same = f", the first {row['same_ids']} ids equal ours" if "same_ids" in row else ""
        print(f"{row['program']:28} {row['tokens_per_s']:8.1f} tokens/s{same}")
    if arguments.output:
        pathlib.Path(arguments.output).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run_as_script(main)
