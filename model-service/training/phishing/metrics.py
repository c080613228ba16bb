"""Figures from probabilities and labels; 1 = phishing, threshold 0.5."""

import numpy


def measure(probabilities: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    said, phishing = probabilities >= 0.5, labels == 1
    right = int((said & phishing).sum())
    figures = {
        "accuracy": float((said == phishing).mean()),
        "precision": right / max(1, int(said.sum())),
        "recall": right / max(1, int(phishing.sum())),
        "auc": auc(probabilities, phishing),
        "brier": float(((probabilities - labels) ** 2).mean()),
        "ece": ece(probabilities, labels),
        "recall_at_1_percent_fpr": recall_at(probabilities, phishing, 0.01),
    }
    return {name: round(figure, 6) for name, figure in figures.items()}


def auc(probabilities: numpy.ndarray, phishing: numpy.ndarray) -> float:
    """The chance that a phishing URL scores above a legitimate one; a tie counts half (mean ranks)."""
    _, inverse, counts = numpy.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive, negative = int(phishing.sum()), int((~phishing).sum())
    return float((ranks[phishing].sum() - positive * (positive + 1) / 2) / (positive * negative))


def ece(probabilities: numpy.ndarray, labels: numpy.ndarray, bins: int = 15) -> float:
    """Expected calibration error of P(phishing): 15 bins of equal width, weighted by their share."""
    place = numpy.minimum((probabilities * bins).astype(int), bins - 1)
    return float(sum(abs(probabilities[place == b].sum() - labels[place == b].sum()) for b in range(bins)) / len(labels))


def recall_at(probabilities: numpy.ndarray, phishing: numpy.ndarray, share: float) -> float:
    """Recall at the lowest threshold whose false positives are at most `share` of the legitimate rows."""
    legitimate = numpy.sort(probabilities[~phishing])[::-1]
    allowed = int(share * len(legitimate))
    return float((probabilities[phishing] > legitimate[min(allowed, len(legitimate) - 1)]).mean())


def curves(probabilities: numpy.ndarray, labels: numpy.ndarray, bins: int = 15) -> dict[str, list]:
    """Recall at false-positive rates up to 10 % ([rate, recall]), and reliability ([mean probability, share of phishing, rows])."""
    phishing = labels == 1
    rates = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1]
    place = numpy.minimum((probabilities * bins).astype(int), bins - 1)
    groups = [(probabilities[place == b], labels[place == b]) for b in range(bins)]
    return {"recall": [[rate, round(recall_at(probabilities, phishing, rate), 5)] for rate in rates],
            "reliability": [[round(float(p.mean()), 5), round(float(y.mean()), 5), len(p)] for p, y in groups if len(p)]}
