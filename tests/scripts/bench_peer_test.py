"""scripts/bench_peer.py on a tiny model. Exit code 4: transformers or PEFT is not installed."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "bench_peer.py"


def check(*options):
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "peer.json"
        subprocess.run(
            [sys.executable, SCRIPT, "--hidden", "32", "--intermediate", "48", "--layers", "2",
             "--heads", "4", "--kv-heads", "2", "--vocab", "61", "--context", "64", "--batch", "1",
             "2", "--repeat", "2", "--device", "cpu", "--output", output, *options], check=True)
        report = json.loads(output.read_text(encoding="utf-8"))
    # r = 8 on q and o of 32 -> 32 and on k and v of 32 -> 16, in two layers.
    assert report["trained"]["lora float32"] == 2 * 8 * (2 * (32 + 32) + 2 * (32 + 16))
    assert report["trained"]["embed bfloat16"] == 61 * 32
    assert report["trained"]["norm bfloat16"] == 5 * 32
    assert [case["batch"] for case in report["cases"]] == [1, 2]
    for case in report["cases"]:
        assert abs(case["tokens_per_s"] * case["seconds"] - 64 * case["batch"]) < 1e-6


def main():
    if not all(importlib.util.find_spec(name) for name in ("torch", "transformers", "peft")):
        return 4
    check()
    if importlib.util.find_spec("bitsandbytes") is None:
        print("1 passed, 0 failed, 1 skipped")
        return 0
    check("--nf4")
    print("2 passed, 0 failed, 0 skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
