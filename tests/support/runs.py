"""What a run leaves in its folder, without what depends on the clock."""

import json
import os

SAME = ("step", "loss", "grad_norm", "lr", "tokens")


def read_metrics(output):
    """The steps of a run that may be writing the next line just now."""
    try:
        with open(os.path.join(output, "metrics.jsonl"), encoding="ascii") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []
    return [{key: line.get(key) for key in SAME} for line in lines if "loss" in line]


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def checkpoints(output):
    """Step folder -> file -> bytes."""
    found = {}
    for step in sorted(os.listdir(output)):
        if step.startswith("step-"):
            folder = os.path.join(output, step)
            found[step] = {name: read_bytes(os.path.join(folder, name))
                           for name in sorted(os.listdir(folder)) if name.endswith(".safetensors")}
    return found


def broken_checkpoint(output):
    """What is wrong under a final name; a step that is being written has another."""
    for step in sorted(os.listdir(output)):
        folder = os.path.join(output, step)
        digits = step.removeprefix("step-")
        if not (step.startswith("step-") and digits.isdigit()):
            continue
        state = os.path.join(folder, "state.json")
        if not os.path.exists(state):
            return f"{step} has no state.json"
        with open(state, encoding="utf-8") as file:
            files = json.load(file)["files"]
        for name, listed in files.items():
            path = os.path.join(folder, name)
            if not os.path.exists(path) or os.path.getsize(path) != listed["bytes"]:
                return f"{step}/{name} is missing or cut off"
    return ""
