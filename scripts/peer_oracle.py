#!/usr/bin/env python3
"""A cache that knows the future, to compare our policies with: it keeps what full attention will pay
most to.

    peer_oracle.py --model models/smollm2-135m --texts test_novels --slots 128 256 512

The model reads each segment twice. First with full attention, noting for each layer and key-value
head what the queries of every block pay to every key. Then block by block: beside its own block, a
block's queries see the first --sinks tokens, the newest --local share of the slots, and of the others
those to which all blocks from this one on will pay most. The choice is among all earlier tokens, so
what was dropped may return. It is no upper bound: what full attention pays to is not what a model
that sees less would need. Segments, kinds of targets and NLL are those of lococo-eval with
eval.segments_per_document and eval.far.
"""

import argparse
import json
import pathlib

import torch
import transformers

from tool_runs import Fault, run_as_script

KINDS = ("far", "near", "new")


class Oracle:
    """An attention for transformers. Batches of one segment."""

    def __init__(self, block, slots, sinks, local):
        self.block, self.slots, self.sinks, self.local = block, slots, sinks, local
        self.watches = True
        self.received = {}  # layer: [[G, T] of each block]

    def blocks(self, length):
        return [(begin, min(begin + self.block, length)) for begin in range(0, length, self.block)]

    def __call__(self, module, q_BHLD, k_BGSD, v_BGSD, attention_mask, scaling=None, **_):
        heads = q_BHLD.shape[1] // k_BGSD.shape[1]
        k_BHSD = k_BGSD.repeat_interleave(heads, 1)
        v_BHSD = v_BGSD.repeat_interleave(heads, 1)
        if self.watches:
            self.received[module.layer_idx] = [
                self.paid(q_BHLD, k_BHSD, part, scaling).unflatten(0, (-1, heads)).sum(1)
                for part in self.blocks(q_BHLD.shape[2])]
        parts = []
        for number, (begin, end) in enumerate(self.blocks(q_BHLD.shape[2])):
            seen_HLS = self.causal(begin, end, q_BHLD.device).expand(q_BHLD.shape[1], -1, -1)
            if not self.watches and begin > self.slots:
                kept_GS = self.kept(module.layer_idx, number, begin)
                past_HLS = kept_GS.repeat_interleave(heads, 0).unsqueeze(1)
                seen_HLS = torch.cat([past_HLS.expand(-1, end - begin, -1),
                                      seen_HLS[:, :, begin:]], 2)
            parts.append(torch.nn.functional.scaled_dot_product_attention(
                q_BHLD[:, :, begin:end], k_BHSD[:, :, :end], v_BHSD[:, :, :end],
                attn_mask=seen_HLS.unsqueeze(0), scale=scaling))
        return torch.cat(parts, 2).transpose(1, 2).contiguous(), None

    @staticmethod
    def causal(begin, end, device):
        places = torch.arange(end, device=device)
        return places[begin:].unsqueeze(1) >= places.unsqueeze(0)

    def paid(self, q_BHLD, k_BHSD, part, scaling):
        """[H, T]: what the queries of a block pay to each key."""
        begin, end = part
        logits = q_BHLD[0, :, begin:end].float() @ k_BHSD[0, :, :end].float().transpose(1, 2)
        hidden = ~self.causal(begin, end, q_BHLD.device)
        shares = torch.softmax((logits * scaling).masked_fill(hidden, -torch.inf), -1).sum(1)
        return torch.nn.functional.pad(shares, (0, k_BHSD.shape[2] - end))

    def kept(self, layer, number, begin):
        """[G, begin], which of the tokens before a block it sees."""
        future_GT = torch.stack(self.received[layer][number:]).sum(0)[:, :begin]
        kept = torch.zeros_like(future_GT, dtype=torch.bool)
        kept[:, :self.sinks] = True
        kept[:, begin - self.local:] = True
        chosen = future_GT.masked_fill(kept, -torch.inf).topk(
            self.slots - self.sinks - self.local, dim=-1).indices
        return kept.scatter(1, chosen, True)


def kinds_of(ids, far):
    """Of the targets ids[1:]: whether their bigram occurred before, near or far back."""
    last, kinds = {}, []
    for place in range(1, len(ids)):
        bigram = (ids[place - 1], ids[place])
        before = last.get(bigram)
        kinds.append("new" if before is None else "far" if place - before > far else "near")
        last[bigram] = place
    return kinds


def segments_of(texts, tokenizer, length, count):
    """The first `count` segments of each text."""
    path = pathlib.Path(texts)
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise Fault(f"{texts}: holds no .txt files")
    segments = []
    for file in files:
        ids = tokenizer(file.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
        starts = [number * length for number in range(count)]
        segments += [ids[s:s + length + 1] for s in starts if s + length < len(ids) - 1]
    if not segments:
        raise Fault(f"{texts}: no text is longer than {length} tokens")
    return segments


@torch.no_grad()
def nll_of(model, ids):
    tokens = torch.tensor([ids], device=model.device)
    logits = model(tokens[:, :-1], use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), tokens[0, 1:], reduction="none")


def measure(model, segments, oracle, far):
    """{kind: mean NLL}, "all" too."""
    transformers.AttentionInterface.register("oracle", oracle)
    model.set_attn_implementation("oracle")
    sums, counts = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0)
    for ids in segments:
        oracle.watches = True
        nll_of(model, ids)
        oracle.watches = False
        for kind, nll in zip(kinds_of(ids, far), nll_of(model, ids).tolist()):
            sums[kind] += nll
            counts[kind] += 1
    means = {"all": sum(sums.values()) / sum(counts.values())}
    return means | {kind: sums[kind] / counts[kind] for kind in KINDS if counts[kind]}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--texts", required=True, help="novels: a folder or a file")
    parser.add_argument("--slots", nargs="+", type=int, default=[128, 256, 512])
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--segments", type=int, default=8, help="of each text")
    parser.add_argument("--sinks", type=int, default=4)
    parser.add_argument("--local", type=float, default=0.1875, help="share of the slots")
    parser.add_argument("--far", type=int, default=256)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--output", help="JSON")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if not pathlib.Path(arguments.model, "config.json").exists():
        raise Fault(f"{arguments.model}: holds no config.json")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    segments = segments_of(arguments.texts, tokenizer, arguments.length, arguments.segments)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=getattr(torch, arguments.dtype)).to(device).eval()
    results = []
    for slots in arguments.slots:
        local = int(slots * arguments.local)
        if arguments.sinks + local >= slots:
            raise Fault(f"--slots {slots}: nothing is left beside sinks and newest tokens")
        means = measure(model, segments, Oracle(slots, slots, arguments.sinks, local), arguments.far)
        results.append({"slots": slots, "length": arguments.length, "segments": len(segments),
                        **means})
        print(json.dumps(results[-1]), flush=True)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(json.dumps({"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    run_as_script(main)
