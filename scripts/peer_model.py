"""A model of transformers whose memory a press of kvpress compresses: prompts of any lengths are
read, compressed, and then answered together."""

import contextlib
import importlib.metadata
import pathlib

import peer_scoring as scoring
from peer_scoring import BadInput

PRESSES = ["full", "streaming", "snapkv", "observed", "tova", "expected", "kvzip", "merging"]
TARGETS = 128  # of a segment


def make_press(kvpress, name):
    """A press of ratio 0, or None for full attention."""
    kind, _, window = name.partition("-")
    if kind not in PRESSES or (window and (not window.isdigit() or kind not in
                                           ("snapkv", "merging"))):
        raise BadInput(f"press '{name}' is not known; there are {', '.join(PRESSES)}")
    more = {"window_size": int(window)} if window else {}
    return {"full": lambda: None,
            "streaming": lambda: kvpress.StreamingLLMPress(n_sink=4),
            "snapkv": lambda: kvpress.SnapKVPress(**more),
            "observed": kvpress.ObservedAttentionPress,
            "tova": kvpress.TOVAPress,
            "expected": kvpress.ExpectedAttentionPress,
            "kvzip": lambda: kvzip_press(kvpress),
            "merging": lambda: kvpress.MergingPress(kvpress.SnapKVPress(**more))}[kind]()


def kvzip_press(kvpress):
    class KVzip(kvpress.KVzipPress):
        """KVzip leaves the head of the chat template unscored, hence drops it; where a context does
        not begin with it, that would be text."""

        def _perform_kvzip_compression(self, model, tokenizer):
            head = tokenizer.apply_chat_template([{"role": "user", "content": "#"}],
                                                 tokenize=False).split("#")[0] \
                if tokenizer.chat_template else ""
            ids = tokenizer.encode(head, add_special_tokens=False)
            begins = self._context_ids[0, :len(ids)].tolist() == ids
            self.prefix_length = len(ids) if begins else 0
            super()._perform_kvzip_compression(model, tokenizer)
    return KVzip()


class Memory:
    """Compressed caches of several prompts, each layer's rows padded at the left to one length."""

    def __init__(self, torch, prompts):
        """`prompts`: for each its layers [(key, value)] of shape [1, heads, kept, dim]."""
        self.torch = torch
        self.kept = [layers[0][0].shape[2] for layers in prompts]
        longest = max(self.kept)

        def padded(tensor):
            return torch.nn.functional.pad(tensor, (0, 0, longest - tensor.shape[2], 0))
        self.layers = [[torch.cat([padded(layers[i][part]) for layers in prompts])
                        for part in (0, 1)] for i in range(len(prompts[0]))]

    def cache_of(self, rows):
        """A cache of its own for these rows, and the mask of what is in it."""
        from transformers import DynamicCache
        cache, device = DynamicCache(), self.layers[0][0].device
        index = self.torch.tensor(rows, device=device)
        for i, (keys, values) in enumerate(self.layers):
            cache.update(keys[index], values[index], i)
        kept = self.torch.tensor([self.kept[row] for row in rows], device=device)
        longest = self.layers[0][0].shape[2]
        mask = self.torch.arange(longest, device=device)[None] >= longest - kept[:, None]
        return cache, mask.long()


class Peer:
    def __init__(self, arguments):
        try:
            import kvpress
            import torch
            import transformers
        except ImportError as error:
            raise BadInput(f"{error}; see --install") from error
        self.torch, self.kvpress = torch, kvpress
        device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = arguments.dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        if not pathlib.Path(arguments.model, "config.json").is_file():
            raise BadInput(f"{arguments.model}: is no Hugging Face folder")
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            arguments.model, dtype=getattr(torch, dtype)).to(device).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
        eos = self.model.generation_config.eos_token_id
        self.eos = set(eos if isinstance(eos, list) else [eos])
        self.presses = {name: make_press(kvpress, name) for name in arguments.presses}
        self.prefill_tokens = arguments.prefill_tokens
        self.about = {"peer": "kvpress " + importlib.metadata.version("kvpress"),
                      "transformers": transformers.__version__, "torch": torch.__version__,
                      "device": (torch.cuda.get_device_name() if device.startswith("cuda")
                                 else device), "dtype": dtype, "model": arguments.model}

    # --- reading and compressing

    def ratio(self, press, length, kept):
        if not isinstance(press, self.kvpress.KVzipPress):
            return scoring.compression_ratio(length, kept)
        config = self.model.config
        heads = config.num_hidden_layers * config.num_key_value_heads
        return (heads * (length - kept) + 0.5) / (heads * length)

    def check(self, press, layers, length, kept):
        """That exactly `kept` keys of each head are left."""
        wanted = length if press is None else kept
        if isinstance(press, self.kvpress.KVzipPress):  # it masks keys instead of dropping them
            config = self.model.config
            dropped = sum(len(layer.self_attn.masked_key_indices[0])
                          for layer in self.model.model.layers)
            heads = config.num_hidden_layers * config.num_key_value_heads
            assert dropped == heads * (length - wanted), (dropped, length, wanted)
        else:
            counts = {tensor.shape[2] for layer in layers for tensor in layer}
            assert counts == {wanted}, (counts, wanted)

    def read(self, press, kept, contexts):
        """The compressed layers of contexts of one length: keys and values of all rows."""
        from transformers import DynamicCache
        torch, length = self.torch, len(contexts[0])
        if kept is not None and kept >= length:
            press = None
        ids = torch.tensor(contexts, device=self.model.device)
        if press is not None:
            press.compression_ratio = self.ratio(press, length, kept)
        observed = isinstance(press, self.kvpress.ObservedAttentionPress)
        self.model.set_attn_implementation("eager" if observed else "sdpa")
        cache = DynamicCache()
        # kvpress asks for the positions of what is read, which new releases of transformers no
        # longer compute, but pass on.
        position = torch.arange(length, device=self.model.device)
        with contextlib.nullcontext() if press is None else press(self.model):
            self.model.model(input_ids=ids, past_key_values=cache, use_cache=True,
                             cache_position=position)
        self.model.set_attn_implementation("sdpa")
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        self.check(press, layers, length, kept)
        return layers

    def memory(self, press, kept, contexts):
        by_length = {}
        for row, context in enumerate(contexts):
            by_length.setdefault(len(context), []).append(row)
        prompts = [None] * len(contexts)
        budget = self.prefill_tokens
        if isinstance(press, self.kvpress.ObservedAttentionPress):
            budget = 1  # its attention matrices are large enough for one row at a time
        for length, rows in by_length.items():
            step = max(1, budget // length)
            for begin in range(0, len(rows), step):
                part = rows[begin:begin + step]
                layers = self.read(press, kept, [contexts[row] for row in part])
                for i, row in enumerate(part):
                    prompts[row] = [(k[i:i + 1], v[i:i + 1]) for k, v in layers]
        return Memory(self.torch, prompts)

    # --- answering

    def feed(self, memory, rows, inputs, starts, keep):
        """Reads each row's ids after its memory; logits of the last `keep` tokens, the cache, the
        mask and the last position."""
        torch, device = self.torch, self.model.device
        cache, mask = memory.cache_of(rows)
        longest = max(len(ids) for ids in inputs)
        pads = torch.tensor([longest - len(ids) for ids in inputs], device=device)
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in inputs], device=device)
        place = torch.arange(longest, device=device)[None] - pads[:, None]
        positions = torch.tensor(starts, device=device)[:, None] + place.clamp(min=0)
        mask = torch.cat([mask, (place >= 0).long()], dim=1)
        logits = self.model(input_ids=ids, past_key_values=cache, attention_mask=mask,
                            position_ids=positions, logits_to_keep=keep).logits
        return logits, cache, mask, positions[:, -1:]

    def generate(self, memory, samples, rows):
        """Greedy ids of each sample, without the end token."""
        torch = self.torch
        counts = [sample.get("max_new_tokens") or 32 for sample in samples]
        logits, cache, mask, position = self.feed(
            memory, rows, [s["question_ids"] for s in samples],
            [len(s["context_ids"]) for s in samples], 1)
        answers, open_rows = [[] for _ in samples], set(range(len(samples)))
        while True:
            newest = logits[:, -1].argmax(-1, keepdim=True)
            for row, token in enumerate(newest[:, 0].tolist()):
                if row in open_rows and token not in self.eos:
                    answers[row].append(token)
                if token in self.eos or len(answers[row]) >= counts[row]:
                    open_rows.discard(row)
            if not open_rows:
                return answers
            position = position + 1
            mask = torch.cat([mask, torch.ones_like(newest)], dim=1)
            logits = self.model(input_ids=newest, past_key_values=cache, attention_mask=mask,
                                position_ids=position).logits

    def log_likelihoods(self, memory, rows, questions, options, starts):
        """Summed log-likelihood of each option after its question."""
        longest = max(len(option) for option in options)
        inputs = [question + option[:-1] for question, option in zip(questions, options)]
        logits = self.feed(memory, rows, inputs, starts, longest)[0].float()
        sums = []
        for row, option in enumerate(options):
            targets = self.torch.tensor(option, device=logits.device)
            logs = logits[row, -len(option):].log_softmax(-1)
            sums.append(logs.gather(1, targets[:, None]).sum().item())
        return sums

    def choose(self, memory, samples, rows, at_once):
        """For each sample the log-likelihoods of its options."""
        cases = [(i, row, option) for i, (sample, row) in enumerate(zip(samples, rows))
                 for option in sample["option_ids"]]
        found = [[] for _ in samples]
        for begin in range(0, len(cases), at_once):
            part = cases[begin:begin + at_once]
            owners = [samples[i] for i, _, _ in part]
            sums = self.log_likelihoods(
                memory, [row for _, row, _ in part], [s["question_ids"] for s in owners],
                [option for *_, option in part], [len(s["context_ids"]) for s in owners])
            for (i, *_), value in zip(part, sums):
                found[i].append(value)
        return found

    def answer(self, name, kept, samples):
        """(scores, answer) of each sample."""
        press = self.presses[name]
        if isinstance(press, self.kvpress.KVzipPress) and len(samples) > 1:
            # What it drops is noted in the model, for one prompt at a time.
            return [self.answer(name, kept, [sample])[0] for sample in samples]
        memory = self.memory(press, kept, [s["context_ids"] for s in samples])
        results = [None] * len(samples)
        open_rows = [i for i, s in enumerate(samples) if s["scoring"] != "choice"]
        if open_rows:
            some = [samples[i] for i in open_rows]
            for i, ids in zip(open_rows, self.generate(memory, some, open_rows)):
                text = self.tokenizer.decode(ids)
                results[i] = (scoring.scores_of(samples[i], ids, text), text)
        choice_rows = [i for i, s in enumerate(samples) if s["scoring"] == "choice"]
        if choice_rows:
            some = [samples[i] for i in choice_rows]
            at_once = 1 if isinstance(press, self.kvpress.KVzipPress) else len(samples)
            for i, sums in zip(choice_rows, self.choose(memory, some, choice_rows, at_once)):
                results[i] = (scoring.scores_of(samples[i], log_likelihoods=sums), sums)
        for layer in self.model.model.layers:  # KVzip's notes
            layer.self_attn.masked_key_indices = None
        return results

    def segment_nlls(self, name, kept, segments):
        """A segment is a question of its last token but 128, whose only option is the rest."""
        samples = [{"scoring": "choice", "context_ids": ids[:-TARGETS - 1],
                    "question_ids": [ids[-TARGETS - 1]], "option_ids": [ids[-TARGETS:]],
                    "options": [""], "correct": 0} for ids in segments]
        return [-sums[0] / TARGETS for _, sums in self.answer(name, kept, samples)]
