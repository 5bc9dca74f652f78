"""How a memory is read by scripts/lococo_transformers.py: options chosen anew, with the tools' own
refusals.

Usage: lococo_reading_test.py, with the folder of the tools in LOCOCO_BIN. Exit code 4: transformers
or PEFT is not installed.
"""

from counted import main
from memory_case import MemoryCase, interop, run_tool


class LococoReading(MemoryCase):
    def test_options_are_refused_in_the_words_of_lococo_generate(self):
        for options in ({"slots": 10}, {"slots": 9}, {"slots": 0}, {"slots": 80}, {"slots": "1.5"},
                        {"local": 3}, {"local": 60}, {"local": -1}, {"local": "few"}, {"sinks": 40},
                        {"alone_fraction": 1.5}, {"alone_fraction": "nan"}, {"score_decay": 2},
                        {"slots": 64, "local": 62}, {"position_cap": 63}, {"decode_buffer": -1}):
            with self.subTest(options):
                keys = [f"{'generate' if name == 'decode_buffer' else 'cache'}.{name}={value}"
                        for name, value in options.items()]
                done = run_tool("generate", f"model.path={self.model}",
                                f"model.adapter={self.plain}", "generate.prompt_ids=1 2",
                                "generate.output=ids", *keys)
                self.assertEqual(done.returncode, 2, done.stderr)
                line = done.stderr.splitlines()[-1]
                said = self.refused("", self.model, self.plain, **options)
                self.assertTrue(line.endswith(said), f"{said}\nis not\n{line}")

    def test_an_option_that_there_is_not_is_refused(self):
        self.refused("cache.slot: unknown option; there are cache.slots", self.model, self.plain,
                     slot=3)
        self.refused("cache.keys is rotated, only unrotated", self.model, self.plain, keys="rotated")
        self.refused("expected an integer, got true", self.model, self.plain, slots=True)

    def test_an_option_of_none_is_the_exports(self):
        _, options = interop.load(self.model, self.plain, slots=None, local="5", alone_fraction=0)
        self.assertEqual((options.slots, options.local, options.alone_fraction), (32, 5, 0.0))


if __name__ == "__main__":
    main()
