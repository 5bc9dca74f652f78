"""What compare_methods.py compares: methods, and the bases, texts and sizes they are compared on."""

import dataclasses

NO_TUNING = ("tune.lora=null", "tune.embed=null", "tune.norm=null")
NO_CONV = ("tune.conv=null", "tune.normalizer=null")
STREAMING = ("cache.policy=streaming", "cache.local=0", *NO_CONV)
H2O = ("cache.policy=h2o", *NO_CONV)
PATTERNS = ("longlora", "sinklora")  # configs
CACHES = ("lococo", "official", "memory")


@dataclasses.dataclass(frozen=True)
class Method:
    key: str
    label: str
    config: str  # of configs/, without the setting's prefix
    options: tuple = ()  # of training and evaluation
    trained: bool = True
    reads: tuple = ()  # of evaluation alone
    adapter_of: str = ""  # the method whose weights it reads with; empty: its own

    @property
    def weights(self):
        """The method whose training it reads with; empty: the base's."""
        return self.adapter_of or (self.key if self.trained else "")

    @property
    def has_cache(self):
        return self.config in CACHES or "cache.policy=h2o" in self.reads

    @property
    def has_pattern(self):
        """Whether training sees less than evaluation."""
        return self.trained and self.config in PATTERNS

    @property
    def has_any_slots(self):
        """Whether its cache may have other numbers of slots than in training: mixtures may not."""
        return self.has_cache and self.key not in CACHES[:2]


def methods():
    """In the order of the table."""
    return [
        Method("base", "base, positions interpolated", "full", NO_TUNING, trained=False),
        Method("streaming", "StreamingLLM", "lococo", STREAMING + NO_TUNING, trained=False),
        Method("h2o", "H2O", "lococo", H2O + NO_TUNING, trained=False),
        Method("streaming_tuned", "StreamingLLM, LoRA tuned through it", "lococo", STREAMING),
        Method("h2o_tuned", "H2O, LoRA tuned through it", "lococo", H2O),
        Method("official", "LoCoCo, the official form", "official"),
        Method("lococo", "LoCoCo, unrotated keys", "lococo"),
        Method("gates", "learned memory, gates alone", "memory", ("tune.lora=null",)),
        Method("memory", "learned memory with LoRA", "memory"),
        Method("windows", "fixed windows", "longlora", ("attention.shift_fraction=0",)),
        Method("longlora", "LongLoRA (S2-Attn)", "longlora"),
        Method("sinklora", "SinkLoRA, a quarter of the heads", "sinklora"),
        Method("sinklora_half", "SinkLoRA, half of the heads", "sinklora",
               ("attention.shift_fraction=1",)),
        Method("sinklora_h2o", "SinkLoRA, H2O at generation", "sinklora", trained=False,
               reads=("attention.pattern=full", "cache.policy=h2o"), adapter_of="sinklora"),
        Method("full", "full attention with LoRA", "full"),
        Method("full_all", "full attention, all weights", "full", NO_TUNING),
    ]


@dataclasses.dataclass(frozen=True)
class Rates:
    """Thousand tokens a second of one H200 that several runs share, for the estimate alone."""
    train: float
    read: float
    start: float = 0.1  # minutes before the first token


@dataclasses.dataclass(frozen=True)
class Questions:
    """For a base that answers questions."""
    length: int  # of their prompts, in tokens
    trials: dict = dataclasses.field(
        default_factory=lambda: {"passkey": 100, "needle": 100, "ruler": 50})
    kinds: tuple = ("digits", "multikey", "words", "names")  # of needles
    tokens_at_once: int = 131072  # of a batch of prompts
    fewer_slots: tuple = ()  # needles with these too, where a cache may have any number

    def tokens(self, task):
        kinds = {"passkey": 1, "needle": len(self.kinds), "ruler": 8}
        return self.trials[task] * kinds[task] * self.length


@dataclasses.dataclass(frozen=True)
class Setting:
    prefix: str  # of its configs
    model: str
    train: str
    validation: str
    lengths: tuple
    tokens: int  # that a training reads
    sequences: int  # of a step
    memory_context: int  # tokens of a sequence that a memory is taught on
    slots: int
    rates: Rates
    eval_tokens: int
    all_rate: float  # of learning, for tuning all weights
    far: int = 1024  # tokens that a far repeat is back
    seeds: tuple = (1, 2, 3)
    headline: tuple = ()  # methods with three seeds whatever `seeds` is
    more: dict = dataclasses.field(default_factory=dict)  # options by config
    training: tuple = ()  # options of every training
    questions: Questions | None = None
    new_tokens: int = 128  # of which decoding is timed

    def options_of(self, method, slots=None):
        """Of every tool: what the setting needs, the method, equal slots for all that have some."""
        slots = slots or self.slots
        options = [*self.more.get(method.config, ()), *method.options, *self.own_rate(method)]
        if not method.has_cache:
            return options
        options += [f"cache.slots={slots}", f"cache.block={slots}"]
        if method.config == "memory":
            options += [f"cache.local={slots * 3 // 16}", f"teach.slots=[{self.slots}]"]
        elif "h2o" in method.key:
            options += [f"cache.local={slots // 2}", "cache.score_decay=1", "cache.score_distance=0"]
        return options

    def own_rate(self, method):
        return [f"tune.all={self.all_rate}"] if method.key == "full_all" else []

    def context(self, method):
        return self.memory_context if method.config == "memory" else self.lengths[-1]

    def steps(self, method):
        return max(1, round(self.tokens / (self.sequences * self.context(method))))

    def seeds_of(self, method, chosen=()):
        """What is not tuned has one seed."""
        seeds = tuple(chosen) or (self.seeds if method.key not in self.headline else (1, 2, 3))
        return seeds if method.weights else seeds[:1]


def lora(rate, rank, alpha):
    """Equal for all methods of a setting, whatever a config's own recipe has."""
    return (f"tune.lora={rate}", f"tune.lora_rank={rank}", f"tune.lora_alpha={alpha}")


SETTINGS = {
    "books": Setting(
        prefix="books", model="models/books-24m", train="books/train", validation="books/val",
        lengths=(4096, 8192, 16384, 32768), tokens=40 * 16 * 32768, sequences=16,
        memory_context=4096, slots=512, rates=Rates(500.0, 900.0), eval_tokens=1310720,
        all_rate=0.001, more={"memory": lora(0.002, 8, 16)}),
    "smollm2": Setting(
        prefix="smollm2", model="models/smollm2-135m", train="books/train", validation="books/val",
        lengths=(8192, 16384, 32768), tokens=45 * 4 * 32768, sequences=4, memory_context=4096,
        slots=512, rates=Rates(60.0, 250.0), eval_tokens=655360, all_rate=0.0001, seeds=(1,),
        headline=("memory", "longlora", "sinklora", "full", "streaming_tuned"),
        more={"memory": lora(0.0007, 16, 32),
              "lococo": (*lora(0.0007, 16, 32), "tune.embed=0.0001", "tune.norm=0.0003",
                         "train.micro_batch=4", "train.warmup_steps=5", "cache.distill=0",
                         "cache.mix_keys=false", "cache.local=128")},
        training=("data.lesson_share=0.55",),
        questions=Questions(8192, fewer_slots=(128, 256))),
}
