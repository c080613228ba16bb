"""The temperature: one divisor of the logits, fitted on validation rows only (Guo et al. 2017)."""

import numpy


def temperature(logits: numpy.ndarray, labels: numpy.ndarray) -> float:
    """What makes the validation rows most likely: golden-section search in the logarithm, where the loss has one minimum."""
    scores, labels = logits.astype(numpy.float64), labels.astype(numpy.float64)

    def loss(log: float) -> float:
        scaled = scores / numpy.exp(log)
        return float((numpy.logaddexp(0, scaled) - labels * scaled).mean())

    low, high, ratio = -1.5, 1.5, (5**0.5 - 1) / 2  # 0.22 to 4.5: a few rows without a mistake would ask for zero
    while high - low > 1e-7:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(numpy.exp((low + high) / 2))
