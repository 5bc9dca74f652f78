#!/usr/bin/env python3
"""The table of scripts/demo_smollm2.sh: keys found and NLL of each policy.

Usage: demo_smollm2_table.py FOLDER
"""

import json
import pathlib
import sys

POLICIES = {"none": "full attention", "h2o": "H2O, 512 slots"}


def keys_found(folder, policy, length):
    cell = json.loads((folder / f"{policy}-passkey-{length}.json").read_text())["cells"][0]
    return f"{cell['correct']:.0f} of {cell['trials']}"


def rows(folder):
    yield f"{'':26}{'keys, 2,048':>13}{'keys, 4,096':>13}{'NLL':>9}{'far repeats':>13}"
    for policy, label in POLICIES.items():
        nll = json.loads((folder / f"{policy}-nll.json").read_text())["results"][0]
        far = f"{nll['far_nll']:.3f}" if nll["far_nll"] is not None else "-"
        yield (f"{label:26}{keys_found(folder, policy, 2048):>13}"
               f"{keys_found(folder, policy, 4096):>13}{nll['nll']:>9.3f}{far:>13}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__.strip())
    print("\n".join(rows(pathlib.Path(sys.argv[1]))))
