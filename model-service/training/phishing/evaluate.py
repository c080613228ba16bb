"""Figures of exported files on the rows of their own split: each seed's, their mean and spread, slices, rewritings, curves."""

import json
from pathlib import Path

import numpy

from . import checks, cost, data, export, metrics, preprocessing, reference
from .network import sigmoid

FIGURES = ["accuracy", "auc", "precision", "recall", "recall_at_1_percent_fpr", "brier", "ece"]
SAMPLE = 256  # rows on which onnxruntime must say what the kernel says of the same file
EQUAL = 1e-5


def scorer(content: bytes):
    """URLs → P(phishing) by the kernel with the file's own weights, after a comparison with onnxruntime."""
    network = export.ensemble(content)

    def score(urls: list[str], factor: float = 1) -> numpy.ndarray:
        """`factor`: the temperature, to undo the calibration."""
        return sigmoid(network.logits(preprocessing.matrix(urls)).astype(numpy.float64) * factor)

    return score


def agree(content: bytes, urls: list[str]) -> float:
    """Largest difference between onnxruntime and the kernel; more than EQUAL stops the run."""
    found = float(numpy.abs(export.probabilities(content, urls) - scorer(content)(urls)).max())
    if found > EQUAL:
        raise SystemExit(f"onnxruntime and the kernel differ by {found} on the exported file")
    return found


def test(content: bytes, folder: Path) -> dict:
    """The figures of a file on the test rows in `folder` that may be scored beside its training rows."""
    read = data.scored(data.parts(folder))["test"]
    return {"rows": len(read), "rows_sha256": data.digest(folder / "test.csv"),
            **metrics.measure(scorer(content)([row.url for row in read]), numpy.array([row.label for row in read]))}


def of(content: bytes, folder: Path, training: dict) -> dict:
    """One exported file on the validation and test rows in `folder`, which must be those beside the rows it was trained on; without
    those that it reads as it reads one that it was fitted to."""
    parts = data.parts(folder)
    if data.digest(folder / "train.csv") != training["train_rows_sha256"]:
        raise SystemExit(f"{folder}/train.csv is not the file this model was trained on; run the stages from `train` again")
    rows = data.scored(parts)
    data.check(rows, training["split"], data.model_input)
    score, found = scorer(content), {}
    for name in ("validation", "test"):
        urls, labels = [row.url for row in rows[name]], numpy.array([row.label for row in rows[name]])
        probabilities = score(urls)
        found[name] = {"rows": len(urls), "left_out": len(parts[name]) - len(urls), "rows_sha256": data.digest(folder / f"{name}.csv"), **metrics.measure(probabilities, labels)}
        found[name]["ece_uncalibrated"] = round(metrics.ece(score(urls, training["temperature"]), labels), 6)
    agreed = agree(content, urls[:SAMPLE])
    about, trained = json.loads(export.told(content)["reference"]), [row.url for row in rows["train"]]
    return {"id": export.model_id(content), "cost": cost.counted(content), "monitoring": reference.monitoring(about, urls, score), "train_rows": len(parts["train"]), "training": training,
            "runtime_difference": agreed, **found, "slices": checks.slices(urls, probabilities, labels),
            "metamorphic": checks.metamorphic(urls, score, trained),
            "shortened": checks.shortened(urls, labels, score, trained), "curves": metrics.curves(probabilities, labels)}


def summary(seeds: list[dict]) -> dict:
    """Mean, spread (standard deviation, n - 1) and the shipped file's value of each figure on the test rows; the first is shipped."""
    tests, found = [told["test"] for told in seeds], {}
    for name in [*FIGURES, "ece_uncalibrated"]:
        values = numpy.array([test[name] for test in tests])
        found[name] = {"mean": round(float(values.mean()), 6), "spread": round(float(values.std(ddof=1)), 6) if len(values) > 1 else None,
                       "shipped": tests[0][name]}
    return {**found, "seeds": len(seeds), "ids": {f"seed-{told['training']['seed']}": told["id"] for told in seeds}, "shipped_id": seeds[0]["id"],
            "shipped_bytes": seeds[0]["cost"]["file_bytes"],
            "training_split": seeds[0]["training"]["split"], "train_rows_sha256": seeds[0]["training"]["train_rows_sha256"],
            "test_rows": tests[0]["rows"], "test_rows_left_out": tests[0]["left_out"], "test_rows_sha256": tests[0]["rows_sha256"]}
