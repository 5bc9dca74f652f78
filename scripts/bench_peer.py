#!/usr/bin/env python3
"""The same work in transformers + PEFT, to compare lococo-bench train-step with.

A LLaMA of random bfloat16 weights (default: the shape of 7B; --nf4: in 4 bits, --fp8: products of 8-bit
numbers) with LoRA on q, k, v and o and a trainable embedding and norms; full attention through SDPA,
gradient checkpointing, AdamW with its state allocated. Forward and backward of --batch sequences of --context tokens, the loss as
transformers computes it (all logits at once). Prints a table, and JSON with --output.

    bench_peer.py --context 32768 --batch 1 2 4 --output peer.json
"""

import argparse
import json
import statistics
import time

import peft
import torch
import transformers

GIB = 2.0**30


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--intermediate", type=int, default=11008)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=0, help="0: as many as heads")
    parser.add_argument("--vocab", type=int, default=32000)
    parser.add_argument("--rank", type=int, default=8, help="of LoRA")
    parser.add_argument("--lora-dtype", choices=["float32", "bfloat16"], default="float32",
                        help="float32 is PEFT's own choice")
    parser.add_argument("--liger", action="store_true",
                        help="with Liger's kernels (PyPI liger-kernel): norm, RoPE, SwiGLU, and a "
                             "cross-entropy that holds no logits")
    parser.add_argument("--nf4", action="store_true",
                        help="the layers' frozen matrices in bitsandbytes' NF4 with double "
                             "quantisation (QLoRA)")
    parser.add_argument("--fp8", choices=["tensorwise", "rowwise"],
                        help="the layers' frozen products in torchao's 8-bit training, layers "
                             "compiled (PyPI torchao; the first steps take minutes)")
    parser.add_argument("--no-checkpointing", action="store_true",
                        help="keep all activations: faster where they fit")
    parser.add_argument("--context", type=int, default=32768, help="tokens of a sequence")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args()


def quantise(base, device):
    """Each linear layer but the output layer in 4 bits, as from_pretrained() with a
    BitsAndBytesConfig leaves them: a model that is drawn has no files to go through it."""
    import bitsandbytes
    for block in base.model.layers.modules():
        for name, linear in list(block.named_children()):
            if not isinstance(linear, torch.nn.Linear):
                continue
            small = bitsandbytes.nn.Linear4bit(
                linear.in_features, linear.out_features, bias=False, device="meta",
                compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4")
            small.weight = bitsandbytes.nn.Params4bit(
                linear.weight.data, requires_grad=False, quant_type="nf4",
                compress_statistics=True, module=small)
            setattr(block, name, small.to(device))
    base.is_loaded_in_4bit = True  # PEFT asks for it


def multiply_in_fp8(base, recipe):
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    convert_to_float8_training(base.model.layers,
                               config=Float8LinearConfig.from_recipe_name(recipe))


def make_model(arguments):
    """The PEFT model, drawn on the device, so that 7B takes seconds."""
    if arguments.liger:
        from liger_kernel.transformers import apply_liger_kernel_to_llama
        apply_liger_kernel_to_llama()
    config = transformers.LlamaConfig(
        vocab_size=arguments.vocab, hidden_size=arguments.hidden,
        intermediate_size=arguments.intermediate, num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        num_key_value_heads=arguments.kv_heads or arguments.heads,
        max_position_embeddings=arguments.context, use_cache=False, tie_word_embeddings=False)
    with torch.device(arguments.device):
        base = transformers.AutoModelForCausalLM.from_config(
            config, attn_implementation="sdpa", dtype=torch.bfloat16)
    if arguments.nf4:
        quantise(base, arguments.device)
    if arguments.fp8:
        multiply_in_fp8(base, arguments.fp8)
    if not arguments.no_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    lora = peft.LoraConfig(r=arguments.rank, lora_alpha=2 * arguments.rank, lora_dropout=0.0,
                           target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
                           task_type="CAUSAL_LM")
    model = peft.get_peft_model(base, lora,
                                autocast_adapter_dtype=arguments.lora_dtype == "float32")
    for name, parameter in model.named_parameters():
        if "embed_tokens" in name or "norm" in name:
            parameter.requires_grad_(True)
    if arguments.fp8:  # without a compiler the casts to 8 bits are kernels of their own
        for layer in base.model.layers:
            layer.compile()
    return model.train().to(arguments.device)


def describe_parameters(model):
    """{"lora float32": elements, ...} of what is trained."""
    counts = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group = next((g for g in ("lora", "embed", "norm") if g in name), "other")
        key = f"{group} {str(parameter.dtype).removeprefix('torch.')}"
        counts[key] = counts.get(key, 0) + parameter.numel()
    return counts


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.on_gpu = arguments.device.startswith("cuda")
        started = time.perf_counter()
        self.model = make_model(arguments)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=self.on_gpu)
        self.run(self.tokens(1, min(64, arguments.context)))  # so that there is optimizer state
        self.optimizer.step()
        self.synchronize()
        self.setup_seconds = time.perf_counter() - started

    def synchronize(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def tokens(self, batch, length):
        return torch.randint(self.arguments.vocab, (batch, length), device=self.arguments.device)

    def run(self, tokens):
        self.model(input_ids=tokens, labels=tokens).loss.backward()

    def state_bytes(self):
        return sum(t.nbytes for state in self.optimizer.state.values() for t in state.values()
                   if torch.is_tensor(t))

    def timed(self, body, warmup):
        seconds = []
        for i in range(warmup + self.arguments.repeat):
            self.synchronize()
            begin = time.perf_counter()
            body()
            self.synchronize()
            if i >= warmup:
                seconds.append(time.perf_counter() - begin)
        return seconds

    def measure(self, batch):
        arguments = self.arguments
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        tokens = self.tokens(batch, arguments.context)
        result = {"batch": batch, "tokens": arguments.context}
        try:
            sequence = self.timed(lambda: self.run(tokens), arguments.warmup)
            step = self.timed(self.optimizer.step, 0)
        except torch.cuda.OutOfMemoryError:
            self.optimizer.zero_grad(set_to_none=False)
            return result | {"failure": "out of memory"}
        median = statistics.median(sequence)
        result |= {"seconds": median, "seconds_min": min(sequence), "seconds_max": max(sequence),
                   "tokens_per_s": batch * arguments.context / median,
                   "optimizer_step_s": statistics.median(step)}
        if self.on_gpu:
            peak = torch.cuda.max_memory_allocated()
            result |= {"peak_memory_bytes": peak,
                       "peak_memory_without_optimizer_state_bytes": peak - self.state_bytes()}
        return result


def print_result(result):
    line = f"batch {result['batch']}, {result['tokens']} tokens: "
    if "failure" in result:
        print(line + result["failure"], flush=True)
        return
    line += (f"{result['seconds']:.3f} s (min {result['seconds_min']:.3f}, "
             f"max {result['seconds_max']:.3f}), {result['tokens_per_s']:.0f} tokens/s, "
             f"optimizer step {result['optimizer_step_s'] * 1e3:.2f} ms")
    if "peak_memory_bytes" in result:
        line += (f", peak {result['peak_memory_bytes'] / GIB:.1f} GiB ("
                 f"{result['peak_memory_without_optimizer_state_bytes'] / GIB:.1f} without "
                 "optimizer state)")
    print(line, flush=True)


def main():
    arguments = parse_arguments()
    bench = Bench(arguments)
    base = "NF4 base, " if arguments.nf4 else f"fp8 {arguments.fp8}, " if arguments.fp8 else ""
    report = {"benchmark": f"transformers + PEFT, {base}full attention, LoRA + embedding + norms",
              "device": torch.cuda.get_device_name() if bench.on_gpu else arguments.device,
              "torch": torch.__version__, "transformers": transformers.__version__,
              "peft": peft.__version__, "trained": describe_parameters(bench.model),
              "arguments": vars(arguments), "cases": []}
    print(f"{report['benchmark']} on {report['device']}, torch {report['torch']}, transformers "
          f"{report['transformers']}, PEFT {report['peft']}; set up in {bench.setup_seconds:.1f} s")
    print("trained: " + ", ".join(f"{k} {v:,}" for k, v in report["trained"].items()), flush=True)
    for batch in arguments.batch:
        report["cases"].append(bench.measure(batch))
        print_result(report["cases"][-1])
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
