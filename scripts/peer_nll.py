#!/usr/bin/env python3
"""NLL of transformers on the segments that lococo-eval read, beside lococo-eval's own.

    lococo-eval configs/smollm2.yaml model.base_precision=nf4 cache.policy=none data.validation=novels \\
                eval.lengths=[4096] eval.per_token=nll.jsonl
    peer_nll.py --model models/smollm2-135m --segments nll.jsonl --nf4

Full attention, every target of a segment. --nf4: the layers' matrices in bitsandbytes' NF4 with
double quantisation, as QLoRA keeps them. Prints both means in nats and their difference, paired by
segment, with a 95 % interval; JSON with --output.
"""

import argparse
import json
import math
import pathlib

from intervals import mean_interval
from peer_scoring import BadInput, check_ids, read_lines
from tool_runs import Fault, check_inputs, run_as_script


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--segments", required=True, metavar="JSONL", help="of eval.per_token")
    parser.add_argument("--nf4", action="store_true")
    parser.add_argument("--device", help="default: cuda where there is one")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"],
                        help="default: bfloat16 on a GPU, else float32")
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(words)


def read_segments(path):
    """[(ids, nll)], nll[t] being lococo-eval's of ids[t + 1]."""
    segments = []
    for place, row in read_lines(path):
        ids, nll = row.get("ids"), row.get("nll")
        check_ids(place, "ids", ids, least=2)
        if not isinstance(nll, list) or len(nll) != len(ids) - 1:
            raise BadInput(f"{place}: nll does not have a value for each target; want a file of "
                           "lococo-eval's eval.per_token")
        segments.append((ids, nll))
    if not segments:
        raise BadInput(f"{path}: holds no segments")
    return segments


def load(arguments):
    import torch
    import transformers
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if device.startswith("cuda")
                                               else "float32"))
    options = {"dtype": dtype, "device_map": device, "attn_implementation": "sdpa"}
    if arguments.nf4:
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype)
    return transformers.AutoModelForCausalLM.from_pretrained(arguments.model, **options).eval()


def mean_nll(model, ids):
    """Over the targets of one segment; logits become float32 before the softmax."""
    import torch
    with torch.no_grad():
        tokens = torch.tensor([ids], device=model.device)
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits[0].float()
        return torch.nn.functional.cross_entropy(logits, tokens[0, 1:]).item()


def compare(theirs, ours):
    mean, low, high = mean_interval([a - b for a, b in zip(ours, theirs)])
    return {"segments": len(ours), "transformers": sum(theirs) / len(theirs),
            "lococo": sum(ours) / len(ours), "difference": mean, "low": low, "high": high}


def describe(result):
    line = (f"transformers {result['transformers']:.4f}, lococo {result['lococo']:.4f}, "
            f"difference {result['difference']:+.5f}")
    if math.isnan(result["low"]):
        return line + " (one segment)"
    return line + (f" [{result['low']:+.5f}, {result['high']:+.5f}] over {result['segments']} "
                   "segments")


def main(words=None):
    arguments = parse_arguments(words)
    check_inputs(arguments.model, arguments.segments)
    try:
        segments = read_segments(arguments.segments)
    except BadInput as error:
        raise Fault(str(error)) from error
    model = load(arguments)
    result = compare([mean_nll(model, ids) for ids, _ in segments],
                     [sum(nll) / len(nll) for _, nll in segments])
    print(describe(result), flush=True)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_as_script(main)
