"""What a learned memory keeps of a text, for lococo_transformers.py, where the rules and the letters
in names are told: the gate that scores tokens, and the cache that is compressed by it."""

import math

import torch
from torch import nn
from transformers import Cache

from lococo_files import BadExport

INPUT_SCALE = 0.25  # of the hidden state, before the gate
MASS_FLOOR = 0.001
GATE_PARAMETERS = ("hidden_weight", "hidden_bias", "out_weight", "skip_weight", "out_bias",
                   "mass_weight")


class Gate(nn.Module):
    """How much a token is worth keeping, for each key-value head; float32 throughout."""

    def __init__(self, weights):
        super().__init__()
        for name in GATE_PARAMETERS:
            setattr(self, name, nn.Parameter(weights[name].float(), requires_grad=False))

    def forward(self, hidden_BLE):
        """A layer's input after its norm -> score [B, G, L]."""
        x_BLE = hidden_BLE.float() * INPUT_SCALE
        hidden_BLU = nn.functional.gelu(nn.functional.linear(x_BLE, self.hidden_weight,
                                                             self.hidden_bias))
        score_BLG = (nn.functional.linear(hidden_BLU, self.out_weight, self.out_bias)
                     + nn.functional.linear(x_BLE, self.skip_weight))
        return score_BLG.transpose(1, 2)

    def with_mass(self, score_BGS, mass_BGS):
        return score_BGS + self.mass_weight[:, None] * torch.log(mass_BGS + MASS_FLOOR)


class LayerMemory:
    """What one layer keeps of a conversation, in order of time. Everything in `FIELDS` has the
    slots along its third axis: keys before RoPE, values, the gate's score of each token, the mass
    of attention that it received, and its place in the frame."""

    FIELDS = ("key", "value", "score", "mass", "place")

    def __init__(self):
        self.forget()

    def forget(self):
        self.position = 0  # tokens seen
        self.origin = 0    # where the frame begins in the text
        for field in self.FIELDS:
            setattr(self, field, None)

    def size(self):
        return 0 if self.key is None else self.key.shape[2]

    def append(self, **fresh):
        if self.key is not None and len(self.key) != len(fresh["key"]):
            raise BadExport(f"the memory holds {len(self.key)} texts, and {len(fresh['key'])} rows "
                            "came; give each batch a LearnedMemory of its own, or repeat its texts "
                            "with batch_repeat_interleave first")
        for field in self.FIELDS:
            past = getattr(self, field)
            setattr(self, field, fresh[field] if past is None
                    else torch.cat([past, fresh[field]], dim=2))

    def compress(self, gate, options):
        """Keeps `slots` of the slots, and lets their mass fade as blocks go by."""
        size = self.size()
        kept_BGS = torch.ones_like(self.score, dtype=torch.bool)
        between = slice(options.sinks, size - options.local)
        kept_BGS[:, :, between] = False
        rankings = (self.score, gate.with_mass(self.score, self.mass))
        for ranking_BGS, count in zip(rankings, options.shares()):
            # The best among those between alone: a tie is then broken as in the C++ form.
            among = kept_BGS[:, :, between]
            order = ranking_BGS[:, :, between].masked_fill(among, -math.inf).argsort(
                dim=-1, descending=True, stable=True)  # of equal numbers the older token stays
            among.scatter_(-1, order[..., :count], True)
        B, G, _ = kept_BGS.shape
        index_BGM = kept_BGS.nonzero()[:, -1].view(B, G, options.slots)
        for field in self.FIELDS:
            slots = getattr(self, field)
            index = index_BGM if slots.dim() == 3 else \
                index_BGM[..., None].expand(-1, -1, -1, slots.shape[-1])
            setattr(self, field, slots.gather(2, index))
        self.mass = self.mass * options.score_decay ** ((size - options.slots) / options.block)

    def move_frame(self, origin):
        if self.place is not None:
            self.place = (self.place - (origin - self.origin)).clamp(min=0)
        self.origin = origin


class LearnedMemory(Cache):
    """The memories of all layers, as the cache that a model of transformers is called with."""

    is_compileable = False  # sizes change from call to call
    is_linear = (False,)    # transformers 5: what has been fed already is cut from generate()'s input

    def __init__(self, options):
        super().__init__(layers=[])
        self.options = options
        self.memories = []

    def of_layer(self, number):
        while len(self.memories) <= number:
            self.memories.append(LayerMemory())
        return self.memories[number]

    def get_seq_length(self, layer_idx=0):
        """Tokens seen, not slots: transformers cuts what it has fed already from its input."""
        return self.of_layer(layer_idx).position

    def get_mask_sizes(self, queries, layer_idx=0):
        """Of a mask that nobody reads: each layer makes its own. Versions of transformers give the
        queries' number or their positions."""
        return (queries if isinstance(queries, int) else queries.shape[0]), 0

    def get_max_cache_shape(self, layer_idx=0):
        return -1

    def batch_select_indices(self, indices):
        """Row n goes on with the text of row indices[n]."""
        for memory in self.memories:
            for field in LayerMemory.FIELDS:
                rows = getattr(memory, field)
                setattr(memory, field, None if rows is None else rows[indices.to(rows.device)])

    reorder_cache = batch_select_indices  # what beam search calls it

    def batch_repeat_interleave(self, repeats):
        rows = 0 if not self.memories or self.memories[0].key is None else len(self.memories[0].key)
        self.batch_select_indices(torch.arange(rows).repeat_interleave(repeats))

    def reset(self):
        for memory in self.memories:
            memory.forget()

    def crop(self, max_length):
        raise BadExport("a learned memory cannot take tokens back; generate without an assistant and "
                        "prompt_lookup_num_tokens")
