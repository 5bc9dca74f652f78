"""scripts/peer_scoring.py: scores of answers, and the intervals of their means."""

import os
import pathlib
import sys
import unittest

SCRIPTS = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts"
sys.path.insert(0, str(SCRIPTS))

import peer_scoring as scoring  # noqa: E402
from counted import main  # noqa: E402
from intervals import mean_interval, wilson  # noqa: E402
from peer_sample import sample  # noqa: E402


class Scoring(unittest.TestCase):
    def test_prefix_compares_the_first_ids(self):
        case = sample("prefix", answer_ids=[7, 8])
        for ids, score in (([7, 8, 9], 1.0), ([7, 8], 1.0), ([7], 0.0), ([8, 7], 0.0), ([], 0.0)):
            self.assertEqual(scoring.scores_of(case, ids)["accuracy"], score)

    def test_contained_answers_are_counted_without_case(self):
        answers = ["Lisbon", "Porto", "Faro", "Braga"]
        text = "lisbon, and PORTO of course"
        self.assertEqual(scoring.scores_of(sample("contains_all", answers=answers), [], text),
                         {"match": 0.5})
        self.assertEqual(scoring.scores_of(sample("contains_any", answers=answers), [], text),
                         {"match": 1.0})
        self.assertEqual(scoring.scores_of(sample("contains_any", answers=answers), [], "Rome"),
                         {"match": 0.0})

    def test_choice_takes_the_likeliest_option_by_sum_and_by_byte(self):
        case = sample("choice", options=["no", "a longer text"], correct=1,
                      option_ids=[[4], [5, 6, 7]])
        self.assertEqual(scoring.scores_of(case, log_likelihoods=[-2.0, -5.0]),
                         {"accuracy": 0.0, "accuracy_norm": 1.0})

    def test_qa_is_the_best_f1_of_squad(self):
        case = sample("qa", answers=["the old harbour", "a ship"])
        self.assertEqual(scoring.scores_of(case, [], "The ship!")["f1"], 1.0)
        self.assertAlmostEqual(scoring.scores_of(case, [], "old town")["f1"], 0.5)
        self.assertEqual(scoring.scores_of(case, [], "")["f1"], 0.0)

    def test_the_ratio_keeps_exactly_what_is_asked_for(self):
        for length in (100, 511, 2047, 3968, 4096, 8191, 65536):
            for kept in (1, 64, 127, 256, 512):
                ratio = scoring.compression_ratio(length, kept)
                self.assertEqual(int(length * (1 - ratio)), min(kept, length))

    def test_intervals(self):
        low, high = wilson(0.5, 100)
        self.assertAlmostEqual(low, 0.4038, places=4)
        self.assertAlmostEqual(high, 0.5962, places=4)
        self.assertEqual(wilson(1.0, 8)[1], 1.0)
        self.assertAlmostEqual(wilson(1.0, 8)[0], 0.6756, places=4)
        mean, low, high = mean_interval([0.0, 0.5, 1.0, 0.5])
        self.assertEqual(mean, 0.5)
        self.assertAlmostEqual(high - low, 2 * 1.96 * (0.5 / 3) ** 0.5 / 2)


if __name__ == "__main__":
    main()
