#!/usr/bin/env python3
"""Makes a Hugging Face folder from a GGUF file of architecture llama.

    gguf_to_hf.py model.gguf models/name                    # bfloat16
    gguf_to_hf.py model.gguf models/name --dtype float32

Writes config.json, generation_config.json, model.safetensors and the tokenizer (tokenizer.json of
the kinds gpt-2, smollm and llama-bpe, or SentencePiece's tokenizer.model). Quantized weights are
dequantized: the result is as good as the file, not as the model that it was made from. What the
folder cannot express is refused by name, and nothing is left behind then.
"""

import argparse
import os
import pathlib
import sys

from gguf_tokenizer import GgufTokenizer, Refused, to_json
from new_folder import new_folder

try:
    from gguf_config import model_config
    from gguf_file import GgufFile, check_kind
    from gguf_weights import checked_tensors, write_weights
except ImportError as missing:
    sys.exit(f"gguf_to_hf: {missing}; run it with .venv/bin/python, which "
             "'scripts/bootstrap.sh --deps-only' makes")


def convert(path, output, dtype):
    """Writes the folder; returns its config."""
    source = GgufFile(path)
    check_kind(source)
    tokenizer = GgufTokenizer(source.fields)
    config = model_config(source, tokenizer, dtype)
    ids = {f"{role}_token_id": tokenizer.special.get(role) for role in ("bos", "eos", "pad")}
    plan = checked_tensors(source, config)
    files = {"config.json": to_json(config | ids), "generation_config.json": to_json(ids),
             **tokenizer.files()}
    with new_folder(output) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_weights(folder / "model.safetensors", source, plan, dtype)
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path, help="folder to make")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    arguments = parser.parse_args()
    output = pathlib.Path(os.path.abspath(arguments.output))
    try:
        if output.exists():
            raise Refused(f"{arguments.output} exists already; remove it or name another folder")
        config = convert(arguments.gguf, output, arguments.dtype)
    except Refused as error:
        print(f"gguf_to_hf: {arguments.gguf}: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"gguf_to_hf: {error}", file=sys.stderr)
        sys.exit(2)
    size = (output / "model.safetensors").stat().st_size
    print(f"{arguments.output}: {config['num_hidden_layers']} layers, {size / 1e6:.0f} MB of "
          f"{arguments.dtype}")


if __name__ == "__main__":
    main()
