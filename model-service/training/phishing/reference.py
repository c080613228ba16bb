"""What the service compares its traffic with: the shares of URL lengths and of scores, as histograms in the model's metadata.

Lengths are those of the training rows, in bytes of the URL as it came, with its scheme. Scores are calibrated, of the
validation rows: on rows that it was trained on a network is surer than on any traffic, which would read as drift.
"""

import numpy

from . import checks

LENGTHS = [20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 100, 150, 200, 400]
SCORES = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98]
LEAST = 1e-4  # a bin without a row stands for so much, or one URL in it would be infinite drift


def histogram(values: numpy.ndarray, bounds: list[float]) -> dict[str, list[float]]:
    """`bounds` are upper edges, each part of its bin, as in Prometheus; the last bin, up to infinity, has none. Shares sum to 1."""
    counts = numpy.bincount(numpy.searchsorted(bounds, values, side="left"), minlength=len(bounds) + 1)
    return {"bounds": list(bounds), "shares": (counts / counts.sum()).tolist()}


def of(train: list[str], scores: numpy.ndarray) -> dict[str, dict]:
    """The metadata key `reference`."""
    return {"length": histogram(lengths(train), LENGTHS), "score": histogram(scores, SCORES)}


def lengths(urls: list[str]) -> numpy.ndarray:
    return numpy.array([len(url.encode()) for url in urls])


def monitoring(told: dict, urls: list[str], score) -> dict[str, float]:
    """Drift as the service would see it: on these rows, and on the same rows cut to their hosts, which is another traffic."""
    return {f"{kind}_{name}": round(drift(told[kind], values), 6)
            for name, some in (("same", urls), ("other", [checks.bare(url) for url in urls])) for kind, values in (("length", lengths(some)), ("score", score(some)))}


def drift(reference: dict, values: numpy.ndarray) -> float:
    """Population stability index: 0 is the same; below 0.1 is called stable, above 0.25 a shift (Siddiqi 2006)."""
    expected, found = (numpy.maximum(part["shares"], LEAST) for part in (reference, histogram(values, reference["bounds"])))
    return float(((found - expected) * numpy.log(found / expected)).sum())
