"""scripts/peer_nll.py on a tiny random model: the mean of what transformers computes target by target,
differences paired by segment, one line for a file that is none of lococo-eval's."""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest

from counted import main

try:
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

sys.path.insert(0, str(pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts"))
import peer_nll  # noqa: E402
from tool_runs import Fault  # noqa: E402

SHIFTS = (0.0, 0.01, 0.05)  # of the figures that the file claims, by segment


def tiny_model():
    torch.manual_seed(3)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)).eval()


def nll_of(model, ids):
    """One prefix after another: slow, and sees nothing of what comes later."""
    with torch.no_grad():
        return [-torch.log_softmax(model(torch.tensor([ids[:t]])).logits[0, -1], 0)[ids[t]].item()
                for t in range(1, len(ids))]


class PeerNll(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        model = tiny_model()
        model.save_pretrained(self.path / "model")
        draw = torch.Generator().manual_seed(1)
        segments = [torch.randint(97, (13,), generator=draw).tolist() for _ in SHIFTS]
        self.nlls = [nll_of(model, ids) for ids in segments]
        self.write([{"ids": ids, "nll": [v + shift for v in nll]}
                    for ids, nll, shift in zip(segments, self.nlls, SHIFTS)])

    def write(self, rows):
        (self.path / "nll.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run_it(self, *more):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            peer_nll.main(["--model", str(self.path / "model"), "--device", "cpu", "--segments",
                           str(self.path / "nll.jsonl"), *more])
        return output.getvalue()

    def test_means_and_the_paired_difference(self):
        result_file = self.path / "result.json"
        self.run_it("--output", str(result_file))
        result = json.loads(result_file.read_text())
        means = [sum(nll) / len(nll) for nll in self.nlls]
        self.assertAlmostEqual(result["transformers"], sum(means) / len(means), places=5)
        self.assertAlmostEqual(result["difference"], sum(SHIFTS) / len(SHIFTS), places=5)
        self.assertLess(result["low"], result["difference"])
        self.assertEqual(result["segments"], len(SHIFTS))

    def test_four_bits_change_the_model(self):
        try:
            import bitsandbytes  # noqa: F401
        except ImportError:
            self.skipTest("bitsandbytes is missing")
        self.assertNotIn("difference +0.02000", self.run_it("--nf4"))
        self.assertIn("difference +0.02000", self.run_it())

    def test_a_file_without_tokens_is_named_with_its_line(self):
        self.write([{"ids": [1, 2, 3], "nll": [0.5, 0.5]}, {"nll": [0.5]}])
        with self.assertRaisesRegex(Fault, r"nll\.jsonl:2: ids"):
            self.run_it()
        self.write([{"ids": [1, 2, 3], "nll": [0.5]}])
        with self.assertRaisesRegex(Fault, r"nll\.jsonl:1: nll does not have a value"):
            self.run_it()


if __name__ == "__main__":
    main()
