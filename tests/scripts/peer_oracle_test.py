"""scripts/peer_oracle.py on a tiny random model: with slots for everything it is full attention,
with fewer it sees what it says, and nothing of what comes later."""

import os
import pathlib
import sys
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
import peer_oracle  # noqa: E402

LENGTH = 60


def tiny_model():
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        attn_implementation="eager")
    return transformers.LlamaForCausalLM(config).eval()


def read_with(model, ids, oracle):
    transformers.AttentionInterface.register("oracle", oracle)
    model.set_attn_implementation("oracle")
    oracle.watches = True
    first = peer_oracle.nll_of(model, ids)
    oracle.watches = False
    return first, peer_oracle.nll_of(model, ids)


class PeerOracle(unittest.TestCase):
    def setUp(self):
        self.model = tiny_model()
        self.ids = torch.randint(97, (LENGTH + 1,),
                                 generator=torch.Generator().manual_seed(1)).tolist()
        self.want = peer_oracle.nll_of(self.model, self.ids)

    def test_the_first_reading_and_a_large_cache_are_full_attention(self):
        first, second = read_with(self.model, self.ids, peer_oracle.Oracle(16, LENGTH, 1, 2))
        torch.testing.assert_close(first, self.want, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(second, self.want, rtol=1e-4, atol=1e-4)

    def test_what_is_received_is_what_queries_pay(self):
        oracle = peer_oracle.Oracle(16, 8, 1, 2)
        read_with(self.model, self.ids, oracle)
        for parts in oracle.received.values():
            # Each query of each of the two heads of a group pays 1.
            self.assertAlmostEqual(torch.stack(parts).sum().item(), LENGTH * 4, places=2)

    def test_a_full_cache_keeps_its_slots_with_sinks_and_newest_among_them(self):
        oracle = peer_oracle.Oracle(16, 8, 1, 2)
        _, second = read_with(self.model, self.ids, oracle)
        kept = oracle.kept(0, 2, 32)
        self.assertEqual(kept.sum(1).tolist(), [8, 8])
        self.assertTrue(kept[:, 0].all() and kept[:, 30:].all())
        future = torch.stack(oracle.received[0][2:]).sum(0)[:, :32]
        others = kept.clone()
        others[:, 0] = others[:, 30:] = False
        left_out = ~kept
        for row in range(2):
            self.assertGreaterEqual(future[row][others[row]].min(), future[row][left_out[row]].max())
        # The first block, and the second, that follows no more than fits, lose nothing.
        torch.testing.assert_close(second[:16], self.want[:16], rtol=1e-4, atol=1e-4)
        self.assertGreater((second[32:] - self.want[32:]).abs().max().item(), 1e-3)

    def test_kinds_are_those_of_a_repeated_bigram(self):
        ids = [1, 2, 3, 1, 2, 4, 4, 1, 2]
        self.assertEqual(peer_oracle.kinds_of(ids, 3),
                         ["new", "new", "new", "near", "new", "new", "new", "far"])


if __name__ == "__main__":
    main()
