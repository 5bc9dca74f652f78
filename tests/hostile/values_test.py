"""Numbers that a model cannot have, and runs in which nothing could be learned."""

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest

ROPE_THETAS = ("0", "-1", "0.5", "1e308")
NORM_EPSILONS = ("0", "1", "1e300")
LORA_ALPHAS = ("0", "-1", ".inf", ".nan")


class Values(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)

    def random_model(self, **changes):
        sizes = {key: value for key, value in tiny.model_config().items()
                 if isinstance(value, (int, float)) and not isinstance(value, bool)}
        sizes.update(changes)
        return [f"model.init.{key}={value}" for key, value in sizes.items()]

    def test_of_a_config_json(self):
        cases = []
        for key, values in (("rope_theta", ROPE_THETAS), ("rms_norm_eps", NORM_EPSILONS)):
            for value in values:
                folder = tiny.make_model(self.tiny.fresh("model-"), **{key: float(value)})
                cases.append(Case(f"config.json, {key} {value}", "eval",
                                  self.tiny.eval("model.path=" + folder), mentions=(key,)))
        folder = tiny.make_model(self.tiny.fresh("model-"), rope_theta=None,
                                 rope_parameters={"rope_type": "default", "rope_theta": -1.0})
        cases.append(Case("config.json, rope_theta -1 in rope_parameters", "eval",
                          self.tiny.eval("model.path=" + folder), mentions=("rope_theta",)))
        self.check(cases)

    def test_of_a_random_model(self):
        cases = []
        for key, values in (("rope_theta", ("0.5", "1e308", ".nan")),
                            ("rms_norm_eps", ("1", "1e300", ".nan"))):
            for value in values:
                arguments = self.tiny.eval("model.path=", *self.random_model(**{key: value}))
                cases.append(Case(f"model.init.{key} {value}", "eval", arguments, mentions=(key,)))
        arguments = self.tiny.eval("model.path=", *self.random_model())
        cases.append(Case("model.init as it should be", "eval", arguments, answer="works"))
        self.check(cases)

    def test_of_an_adapter(self):
        cases = []
        for value in (0.0, -1.0, float("inf"), float("nan")):  # Infinity and NaN in JSON
            folder = tiny.make_adapter(self.tiny.fresh("adapter-"), lora_alpha=value)
            cases.append(Case(f"adapter_config.json, lora_alpha {value}", "eval",
                              self.tiny.eval("model.adapter=" + folder),
                              mentions=("lora_alpha", "adapter_config.json")))
        good = tiny.make_adapter(self.tiny.fresh("adapter-"))
        cases.append(Case("an adapter as it should be", "eval",
                          self.tiny.eval("model.adapter=" + good), answer="works"))
        self.check(cases)

    def test_of_lora_in_a_config(self):
        self.check([Case(f"tune.lora_alpha {value}", "train",
                         self.tiny.train(f"tune.lora_alpha={value}"), mentions=("lora_alpha",))
                    for value in LORA_ALPHAS])

    def test_a_block_of_one_token_has_no_targets(self):
        block = "cache.block=1"
        self.check([
            Case("cache.block=1", "train", self.tiny.train(block), mentions=("cache.block",)),
            Case("cache.block=1, --dry-run", "train", self.tiny.train(block, "--dry-run"),
                 mentions=("cache.block",)),
            Case("cache.block=1 under h2o", "train",
                 self.tiny.train(block, "cache.policy=h2o", "tune.conv=null"),
                 mentions=("cache.block",)),
            Case("cache.block=1 with cache.boundary_targets", "train",
                 self.tiny.train(block, "cache.boundary_targets=true"), answer="works"),
        ])

    def test_an_epsilon_that_is_none(self):
        self.check([Case(f"train.epsilon {value}", "train", self.tiny.train(f"train.epsilon={value}"),
                         mentions=("train.epsilon",))
                    for value in ("1e-300", "1e-31", "0", ".inf", ".nan")])


if __name__ == "__main__":
    main()
