"""What scripts/measure_sft.py compares, on how many texts, records and questions of which lengths."""

import dataclasses

# What training sees; what is not full attention or one of LongLoRA and SinkLoRA's own is an extra.
PATTERNS = {
    "full": ("attention.pattern=full",),
    "s2": ("attention.pattern=s2",),
    "sf": ("attention.pattern=sf",),
    "sf1": ("attention.pattern=sf", "attention.shift_fraction=1"),
    "windows": ("attention.pattern=s2", "attention.shift_fraction=0"),
}
EXTRAS = ("sf1", "windows")
TUNE = ("tune.lora=1e-3", "tune.lora_rank=16", "tune.lora_alpha=32", "tune.embed=1e-4",
        "tune.norm=1e-3", "train.beta2=0.98", "train.loss_chunk=8192")
KINDS = ("digits", "words", "names")  # paraphrase is beyond this model (docs/real_model.md)
TRAIN_KINDS = ("multikey", "words", "names")  # multikey asks as digits does, among other numbers
HAYS = {"texts": "novels", "longlora": "LongLoRA's prompts"}
SCORES = ("keys: unrotated, buffer: 0, sinks: 4, scores: accumulated, score_decay: 0.8, "
          "score_distance: 16")


@dataclasses.dataclass(frozen=True)
class Records:
    """A file of documents with questions, of a length and with questions so far apart that their
    prompts fit into it."""
    name: str
    length: int
    questions: int  # of a document
    documents: int

    @property
    def piece(self):
        """Tokens of the part that a question is about: the template and its turns take the rest."""
        return (self.length - 64) // self.questions - 24


@dataclasses.dataclass(frozen=True)
class Scale:
    base: int = 8192  # positions of the model
    long: int = 32768
    lengths: tuple = (8192, 16384, 32768)  # of passkeys
    novel_steps: int = 96
    rows: int = 4  # of a step at `base`
    long_rows: int = 2
    records: tuple = (Records("short", 2048, 2, 3800), Records("middle", 8192, 8, 900),
                      Records("long", 32768, 16, 88))
    # Of which files a training takes how many documents. Most of its tokens are documents no longer
    # than a segment, in which every pattern sees what is asked: where it does not, it learns to
    # answer without.
    base_documents: tuple = (("short", 3800), ("middle", 235))
    long_documents: tuple = (("middle", 900), ("long", 88))
    trials: int = 67  # questions of each kind and length: 201
    passkeys: int = 50
    slots: int = 512
    block: int = 512
    # Tokens of one forward pass: of a training, of an evaluation.
    train_at_once: int = 32768
    eval_at_once: int = 262144


SCALE = Scale()
