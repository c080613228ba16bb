"""`python -m unittest discover -s tests` in `training/`: needs the environment of requirements.lock, and no data."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy

from phishing import data, metrics, sample, vectors

HERE = Path(__file__).parents[1]


class Preprocessing(unittest.TestCase):
    def test_meets_the_vectors_that_the_service_meets(self):
        self.assertEqual(vectors.PATH.read_text("utf-8"), vectors.text())


class Splits(unittest.TestCase):
    def test_domain_that_crosses_is_refused(self):
        row = lambda url, label: data.Row(url, label, "a.example")  # noqa: E731
        with self.assertRaisesRegex(SystemExit, "1 domains are on two sides"):
            data.check({"train": [row("1", 0), row("2", 1)], "validation": [row("3", 0)], "test": []}, "domain_disjoint")

    def test_row_that_crosses_is_refused(self):
        row = data.Row("http://a.example", 1, "a.example")
        with self.assertRaisesRegex(SystemExit, "1 URLs are on two sides"):
            data.check({"train": [row], "validation": [], "test": [row]}, "official")

    def test_registrable_domain_uses_icann_rules_only(self):
        self.assertEqual(data.registrable_domain("http://a.b.blogspot.com/x"), "blogspot.com")
        self.assertEqual(data.registrable_domain("https://user@www.bbc.co.uk:80/x"), "bbc.co.uk")
        self.assertEqual(data.registrable_domain("http://192.0.2.7/x"), "192.0.2.7")

    def test_sample_is_what_its_script_writes(self):
        self.assertEqual(data._sample(), sample.rows())


class Figures(unittest.TestCase):
    def test_known_case(self):
        found = metrics.measure(numpy.array([0.9, 0.8, 0.4, 0.1]), numpy.array([1, 0, 1, 0]))
        self.assertEqual((found["accuracy"], found["precision"], found["recall"], found["auc"]), (0.5, 0.5, 0.5, 0.75))
        self.assertAlmostEqual(found["brier"], (0.01 + 0.64 + 0.36 + 0.01) / 4)

    def test_ties_count_half(self):
        self.assertEqual(metrics.auc(numpy.array([0.5, 0.5]), numpy.array([True, False])), 0.5)


class Smoke(unittest.TestCase):
    def test_all_stages_run_and_the_same_seed_gives_the_same_bytes(self):
        files = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as out:
                subprocess.run([sys.executable, "-m", "phishing", "all", "--profile", "smoke", "--out", out], cwd=HERE, check=True, stdout=subprocess.DEVNULL)
                model = Path(out) / "c1w-domain-disjoint-smoke.onnx"
                told = json.loads(model.with_suffix(".metrics.json").read_text())
                files.append(model.read_bytes())
        self.assertEqual(files[0], files[1])
        self.assertGreater(told["test"]["accuracy"], 0.9)
        self.assertLess(told["bytes"], 400_000)


if __name__ == "__main__":
    unittest.main()
